# By the folder of the stack.
terraform import autopkgtest_web.main /srv/autopkgtest

# By the folder of the stack.
terraform import autopkgtest_worker.main /srv/autopkgtest

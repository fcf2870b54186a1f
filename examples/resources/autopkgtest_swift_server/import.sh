# By the folder of the stack.
terraform import autopkgtest_swift_server.main /srv/autopkgtest

# By the folder of the stack.
terraform import autopkgtest_rabbitmq_server.main /srv/autopkgtest

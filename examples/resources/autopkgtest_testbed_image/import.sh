# By the folder of the stack, the release and the architecture.
terraform import autopkgtest_testbed_image.noble /srv/autopkgtest,noble,amd64

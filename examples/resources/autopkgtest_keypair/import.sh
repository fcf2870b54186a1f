# By region and name. The credentials are those of the environment (OS_*).
terraform import autopkgtest_keypair.worker lcy01,testbed

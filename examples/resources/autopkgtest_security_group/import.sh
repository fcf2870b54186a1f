# By region and ID or name. The credentials are those of the environment (OS_*).
terraform import autopkgtest_security_group.broker lcy01,autopkgtest-broker

# By region and address, or by region and ID. The credentials are those of the environment (OS_*).
terraform import autopkgtest_floating_ip.website lgw01,203.0.113.8

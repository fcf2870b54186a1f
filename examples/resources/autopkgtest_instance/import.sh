# By its region and its id; the credentials come from the environment (OS_*).
terraform import autopkgtest_instance.workers lcy01,3f0c7d7e-8a4b-4d55-9d6f-0b1a2c3d4e5f

# The dashboard's file asks for the password at a terminal.
variable "cloud_password" {
  type      = string
  ephemeral = true
}

ephemeral "autopkgtest_cloud_rc" "test_cloud" {
  files    = ["/srv/cloud/openrc.sh"]
  password = var.cloud_password
}

# For example for another provider:
#
#   provider "openstack" {
#     auth_url    = ephemeral.autopkgtest_cloud_rc.test_cloud.regions["lgw01"].auth_url
#     user_name   = ephemeral.autopkgtest_cloud_rc.test_cloud.regions["lgw01"].username
#     password    = ephemeral.autopkgtest_cloud_rc.test_cloud.regions["lgw01"].password
#     tenant_name = ephemeral.autopkgtest_cloud_rc.test_cloud.regions["lgw01"].project_name
#   }

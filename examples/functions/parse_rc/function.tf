# https://keystone.lgw01.example:5000/v3
output "auth_url" {
  value = provider::autopkgtest::parse_rc(file("/srv/cloud/openrc.sh"), "openrc.sh").auth_url
}

# One region for each file.
data "autopkgtest_cloud_rc" "test_cloud" {
  files = ["/srv/cloud/novarc-lcy01", "/srv/cloud/novarc-lgw01"]
}

output "auth_urls" {
  value = { for name, region in data.autopkgtest_cloud_rc.test_cloud.regions : name => region.auth_url }
}

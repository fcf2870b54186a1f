resource "autopkgtest_testbed_image" "noble" {
  release = "noble"
  cache   = "/var/cache/autopkgtest-images"
}

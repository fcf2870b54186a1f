resource "autopkgtest_testbed_image" "noble" {
  release = "noble"
  mirror  = "http://archive.ubuntu.com/ubuntu"
  cache   = "/var/cache/autopkgtest-images"
}

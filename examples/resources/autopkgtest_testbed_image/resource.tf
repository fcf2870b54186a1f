resource "autopkgtest_testbed_image" "noble" {
  release = "noble"
  mirror  = "http://archive.ubuntu.com/ubuntu"
  cache   = "/var/cache/autopkgtest-images"
}

# In two regions of a cloud, for workers with image_pattern = autopkgtest/$RELEASE-$ARCHITECTURE
resource "autopkgtest_testbed_image" "noble_cloud" {
  release = "noble"
  cloud = {
    rc_files = ["/etc/autopkgtest-cloud/lcy01.rc", "/etc/autopkgtest-cloud/lgw01.rc"]
    source   = "https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img"
    checksum = "https://cloud-images.ubuntu.com/noble/current/SHA256SUMS"
    flavor   = "m1.small"
    key_file = "/etc/autopkgtest-cloud/testbeds"
  }
}

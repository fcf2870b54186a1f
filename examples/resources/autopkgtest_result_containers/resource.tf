resource "autopkgtest_result_containers" "main" {
  store    = autopkgtest_swift_server.main.store
  releases = ["noble", "questing"]
}

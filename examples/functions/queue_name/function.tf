# debci-ppa-noble-amd64
output "queue" {
  value = provider::autopkgtest::queue_name("ppa", "noble", "amd64")
}

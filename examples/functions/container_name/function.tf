# autopkgtest-noble-joe-foo
output "container" {
  value = provider::autopkgtest::container_name("noble", ["joe/foo"], false)
}

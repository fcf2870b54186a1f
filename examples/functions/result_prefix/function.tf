# libp
output "folder" {
  value = provider::autopkgtest::result_prefix("libpng1.6")
}

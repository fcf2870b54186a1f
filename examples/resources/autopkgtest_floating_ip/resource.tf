variable "website_instance" {
  type        = string
  description = "ID of the instance with the website."
  default     = "5f2b0c3e-6a0f-4c3a-9d7e-0c9c1c1d8a11"
}

# Taken from the only external network, and kept while instances come and go.
resource "autopkgtest_floating_ip" "website" {
  cloud       = { rc_file = "/srv/cloud/novarc-lgw01" }
  name        = "website"
  instance_id = var.website_instance
}

# One that the project has already, which is never released.
resource "autopkgtest_floating_ip" "broker" {
  cloud   = { rc_file = "/srv/cloud/novarc-lgw01" }
  name    = "broker"
  address = "203.0.113.7"
  port_id = "0b9e3e0c-93a5-4cf4-8a57-2a2a3b1d7c52"
}

variable "stack" {
  type        = string
  default     = "ssh"
  description = "Name of the stack."
}

variable "directory" {
  type        = string
  description = "Folder on the machine where Terraform runs, for the passwords of the broker's users."
}

variable "machine_directory" {
  type        = string
  default     = "/srv/autopkgtest"
  description = "Folder of the stack on each of the other machines."
}

variable "system" {
  type        = bool
  default     = false
  description = "Put the services onto these machines as a whole: systemd runs them and starts them at boot, and what they need is installed."
}

variable "rotation" {
  type        = string
  default     = null
  description = "A new word gives all users of the broker new passwords, without a gap. 2026-11, say."
}

variable "broker_machine" {
  type = object({
    address       = string
    port          = optional(number)
    user          = optional(string)
    identity_file = optional(string)
    host_key      = optional(string)
  })
  description = "The broker's machine. Workers must be able to reach its address."
}

variable "worker_machine" {
  type = object({
    address       = string
    port          = optional(number)
    user          = optional(string)
    identity_file = optional(string)
    host_key      = optional(string)
  })
  description = "The machine of the worker, the store and the website."
}

variable "images" {
  type        = set(string)
  description = "Paths of testbed images on the worker's machine. Instead, autopkgtest_testbed_image with the same host makes one."
}

variable "release" {
  type        = string
  default     = "bookworm"
  description = "Release whose packages are tested."
}

variable "architecture" {
  type        = string
  default     = "amd64"
  description = "Architecture of the testbeds."
}

variable "results_may_go" {
  type        = bool
  default     = false
  description = "Let a destroy remove the results."
}

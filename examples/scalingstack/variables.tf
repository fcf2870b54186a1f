variable "stack" {
  description = "Name of the stack. What is made in the clouds begins with it, and bears its mark."
  type        = string
  default     = "scalingstack"
}

variable "worker_conf" {
  description = "The operator's worker.conf, an absolute path. What the deployment decides is empty in it or the same."
  type        = string
}

variable "services_rc_file" {
  description = "RC file of the project and region of the services, an absolute path."
  type        = string
}

variable "rc_files" {
  description = "RC files of the testbeds' projects, one for each region: absolute paths."
  type        = list(string)
}

variable "directory" {
  description = "Folder on the machine where Terraform runs, for the passwords of the broker's users and the private keys."
  type        = string
}

variable "machine_directory" {
  description = "Folder of the stack on each of the machines."
  type        = string
  default     = "/srv/autopkgtest"
}

variable "system" {
  description = "Put the services onto their machines as a whole: systemd runs them, and what they need is installed."
  type        = bool
  default     = true
}

variable "image_pattern" {
  description = "Image of the machines, the newest whose name begins like this."
  type        = string
  default     = "debian-12.*-amd64"
}

variable "flavor" {
  description = "Flavor of the machines."
  type        = string
  default     = "m1.large"
}

variable "network" {
  description = "Network of the machines. Null: the only one that is not external."
  type        = string
  default     = null
}

variable "pool" {
  description = "External network that the floating IPs are of. Null: the only one."
  type        = string
  default     = null
}

variable "operators" {
  description = "Networks from which operators, and Terraform, reach the machines by ssh."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "gatekeepers" {
  description = "Networks or addresses from which britney requests tests and reads results."
  type        = list(string)
}

variable "web_port" {
  description = "Port of the website."
  type        = number
  default     = 8080
}

variable "slots" {
  description = "How many tests run at a time."
  type        = number
  default     = 8
}

variable "drain_timeout" {
  description = "How long an update or a removal of the worker waits for running tests."
  type        = string
  default     = "10m"
}

variable "all_may_go" {
  description = "Let a destroy remove requests that wait, and results."
  type        = bool
  default     = false
}

variable "hosts" {
  description = "Other machines than the instances for the services, all three. Null: the instances, by their floating IPs."
  type = map(object({
    address       = string
    port          = optional(number)
    user          = optional(string)
    identity_file = optional(string)
    host_key      = optional(string)
  }))
  default = null
  validation {
    condition     = var.hosts == null || length(setsubtract(["broker", "web", "worker"], keys(coalesce(var.hosts, {})))) == 0
    error_message = "The machines are called broker, web and worker."
  }
}

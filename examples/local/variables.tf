variable "stack" {
  description = "Name of the stack. Its mark keeps two stacks out of each other's folders."
  type        = string
  default     = "local"
}

variable "directory" {
  description = "Folder of the stack, an absolute path. Everything that is made lies below it."
  type        = string
}

variable "release" {
  description = "Release to test, as the archive calls it; normally the one of this machine (bookworm, noble)."
  type        = string
}

variable "architecture" {
  description = "Architecture to test, as Debian calls it."
  type        = string
  default     = "amd64"
}

variable "mirror" {
  description = "Archive to build the testbed image from. Null: the one that apt on this machine uses."
  type        = string
  default     = null
}

variable "image_cache" {
  description = "Folder that keeps the testbed image for the next stack, an absolute path. Null: none."
  type        = string
  default     = null
}

variable "slots" {
  description = "How many tests run at a time."
  type        = number
  default     = 2
}

variable "drain_timeout" {
  description = "How long an update or a removal of the worker waits for running tests."
  type        = string
  default     = "3s"
}

variable "britney_account" {
  description = "Account on this machine that may read britney's credentials. Only root can set it. Null: the stack's own."
  type        = string
  default     = null
}

variable "require_amqp_0_8" {
  description = "Refuse a broker that britney cannot use: RabbitMQ 4 and later."
  type        = bool
  default     = true
}

variable "stack" {
  description = "Name of the stack. Its mark keeps two stacks out of each other's folders."
  type        = string
  default     = "rotate"
}

variable "directory" {
  description = "Folder of the stack, an absolute path. Everything that is made lies below it."
  type        = string
}

variable "release" {
  description = "Release whose tests are requested."
  type        = string
  default     = "noble"
}

variable "architecture" {
  description = "Architecture whose tests are requested."
  type        = string
  default     = "amd64"
}

variable "rotation" {
  description = "Any word; another one is a rotation. Null: the user has never been rotated."
  type        = string
  default     = null
}

variable "grace" {
  description = "How long the old credentials work on. 0s revokes them and closes their connections."
  type        = string
  default     = "1h"
}

variable "require_amqp_0_8" {
  description = "Refuse a broker that britney cannot use: RabbitMQ 4 and later."
  type        = bool
  default     = true
}

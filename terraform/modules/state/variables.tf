# What the state store's bucket is made from.

variable "bucket" {
  description = "Name of the bucket for ledgers, judgements and events. Never one that backup hosts put into."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: ${var.bucket} is no bucket's name. Take 3 to 63 of a-z, 0-9, hyphen and dot, such as acme-maintainer-state."
  }
}

variable "repository_buckets" {
  description = "The buckets of the repositories: the output bucket of each module repository. The state store must be none of them."
  type        = list(string)
  validation {
    condition     = !contains(var.repository_buckets, var.bucket)
    error_message = "bucket: ${var.bucket} holds repositories: a backup host could write into the ledger. Give the state store a bucket of its own."
  }
}

variable "host_arns" {
  description = "Hosts that are users or roles of your own (principal_arn in the module repository): they reach nothing here. Those that were made never do."
  type        = list(string)
  default     = []
}

variable "cross_account" {
  description = "Roles in another account, by group, and by any name for the controller's: their ARN, and the repositories to whose ledgers they append; none for the controller, which reads all."
  type = map(object({
    role_arn     = string
    repositories = optional(list(string), [])
  }))
  default = {}
}

variable "prefix" {
  description = "Where in the bucket the state lies; each repository's below it, by name."
  type        = string
  default     = "prod"
  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", var.prefix))
    error_message = "prefix: a path of letters, digits, dot, hyphen and underscore that neither begins nor ends with a slash."
  }
}

variable "s3_endpoint" {
  description = "S3's address in the location, where it is not AWS's own: that of a test's endpoint."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for all that is made."
  type        = map(string)
  default     = {}
}

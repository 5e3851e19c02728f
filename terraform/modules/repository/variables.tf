# What a bucket of repositories is made from.

variable "bucket" {
  description = "Name of the bucket. One bucket holds the repositories of many hosts, each below a prefix of its own."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: ${var.bucket} is no bucket's name. Take 3 to 63 of a-z, 0-9, hyphen and dot, such as acme-backups."
  }
}

variable "hosts" {
  description = "The backup hosts, by name: one repository each. prefix: where it lies in the bucket; the host's name where left out. principal_arn: an existing IAM user or role that backs up (attach the output host_policies to it); where left out, a user is made."
  type = map(object({
    prefix        = optional(string)
    principal_arn = optional(string)
  }))
  validation {
    condition     = length(var.hosts) > 0 && alltrue([for name in keys(var.hosts) : can(regex("^[a-z0-9][a-z0-9-]{0,31}$", name))])
    error_message = "hosts: at least one, each named by at most 32 of a-z, 0-9 and hyphen: ${join(", ", keys(var.hosts))}."
  }
  validation {
    condition = alltrue([
      for name, host in var.hosts : can(regex("^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", coalesce(host.prefix, name)))
    ])
    error_message = "hosts: a prefix is a path of letters, digits, dot, hyphen and underscore that neither begins nor ends with a slash, such as servers/web."
  }
  validation {
    condition = length(flatten([
      for left, one in var.hosts : [
        for right, other in var.hosts : right
        if left != right && startswith("${coalesce(one.prefix, left)}/", "${coalesce(other.prefix, right)}/")
      ]
    ])) == 0
    error_message = "hosts: two prefixes are the same, or one lies inside the other: whoever holds one host's key could write into the other's repository. Give each a prefix of its own, side by side."
  }
  validation {
    condition = alltrue([
      for host in values(var.hosts) : host.principal_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(user|role)/.+$", host.principal_arn))
    ])
    error_message = "hosts: principal_arn is the ARN of an IAM user or role, such as arn:aws:iam::123456789012:role/web."
  }
}

variable "maintenance_arns" {
  description = "Roles (or, for a machine of your own, users) that maintain these repositories: the output arn of the module instance."
  type        = list(string)
  default     = []
}

variable "cross_account" {
  description = "Groups whose roles are in another account, by name: the role's ARN, and which of the hosts it maintains. Name the role in maintenance_arns too."
  type = map(object({
    role_arn = string
    hosts    = list(string)
  }))
  default = {}
  validation {
    condition     = alltrue([for group in values(var.cross_account) : length(group.hosts) > 0 && length(setsubtract(group.hosts, keys(var.hosts))) == 0])
    error_message = "cross_account: each group names at least one of the hosts ${join(", ", keys(var.hosts))}, and no other."
  }
}

variable "check_interval_days" {
  description = "How often a run checks every byte: an attack is noticed after so many days at the latest."
  type        = number
  default     = 1
  validation {
    condition     = var.check_interval_days >= 1
    error_message = "check_interval_days: at least 1."
  }
}

variable "response_days" {
  description = "How long a person may take to answer a finding."
  type        = number
  default     = 14
  validation {
    condition     = var.response_days >= 1
    error_message = "response_days: at least 1: nobody answers before they have read."
  }
}

variable "released_after_days" {
  description = "After how many days noncurrent versions expire that a committed run has released (tag maintainer=released). Others never expire."
  type        = number
  default     = 30
  validation {
    condition     = var.released_after_days >= var.check_interval_days + var.response_days
    error_message = "released_after_days: ${var.released_after_days} is shorter than check_interval_days + response_days (${var.check_interval_days} + ${var.response_days}): what an attack hid could expire before you have answered. Raise it to ${var.check_interval_days + var.response_days} or more."
  }
}

variable "storage_classes" {
  description = "Storage classes that a host may name. None that must be restored before it is read: a check reads every byte."
  type        = list(string)
  default     = ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"]
  validation {
    condition     = length(var.storage_classes) > 0 && length(setintersection(var.storage_classes, ["GLACIER", "DEEP_ARCHIVE"])) == 0
    error_message = "storage_classes: at least one, and neither GLACIER nor DEEP_ARCHIVE: what lies there can not be read without a restore, so nobody could check it. GLACIER_IR can."
  }
}

variable "kms_key_arn" {
  description = "KMS key under which the bucket encrypts; S3's own keys (SSE-S3) where left out. Name it as kms_key in the configuration too."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn: the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias can be pointed at another key later."
  }
}

variable "object_lock" {
  description = "Object Lock's default retention: until it ends nobody deletes a version, with COMPLIANCE not even root. Only for a bucket that is new."
  type = object({
    mode = string
    days = number
  })
  default = null
  validation {
    condition     = var.object_lock == null || (contains(["GOVERNANCE", "COMPLIANCE"], try(var.object_lock.mode, "")) && try(var.object_lock.days, 0) >= 1)
    error_message = "object_lock: mode is GOVERNANCE or COMPLIANCE, days at least 1."
  }
}

variable "inventory" {
  description = "A daily or weekly list of every object version, put into another bucket, whose policy must let s3.amazonaws.com put there."
  type = object({
    bucket_arn = string
    prefix     = optional(string, "inventory")
    frequency  = optional(string, "Daily")
  })
  default = null
  validation {
    condition     = var.inventory == null || contains(["Daily", "Weekly"], try(var.inventory.frequency, ""))
    error_message = "inventory: frequency is Daily or Weekly."
  }
}

variable "s3_endpoint" {
  description = "S3's address in the repositories' locations, where it is not AWS's own: that of a test's endpoint."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for all that is made."
  type        = map(string)
  default     = {}
}

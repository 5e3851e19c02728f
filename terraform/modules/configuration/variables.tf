# What maintainer.toml is written from.

variable "region" {
  description = "Region of the buckets and instances."
  type        = string
}

variable "state_location" {
  description = "The output location of the module state."
  type        = string
}

variable "groups" {
  description = "The output group of each module instance."
  type = list(object({
    name    = string
    compute = string
    instance = optional(object({
      image            = string
      image_digest     = string
      instance_profile = string
      subnets          = list(string)
      security_groups  = list(string)
      types            = list(string)
      market           = list(string)
      max_price        = optional(number, 0)
      ssh_port         = number
      launch_template  = string

      instance_connect_endpoint = optional(string)
    }))
    repositories = map(object({
      location = string
      password = string
      kms_key  = optional(string)
    }))
  }))
}

variable "gateways" {
  description = "The output gateway of each module gateway, by group."
  type = map(object({
    address          = string
    location         = string
    elastic_ip       = string
    port             = number
    image            = string
    image_digest     = string
    instance_profile = string
    subnets          = list(string)
    security_groups  = list(string)
    types            = list(string)
  }))
  default = {}
}

variable "gateway_certificate" {
  description = "With gateways: the file beside maintainer.toml that maintainer gateway certify writes, or its text (file(...)), which the module controller needs. null where an authority that every machine trusts signs the gateways' certificates."
  type        = string
  default     = "gateway.pem"
}

variable "keep" {
  description = "restic's rules (last, hourly, daily, weekly, monthly, yearly), for every repository that has none of its own in keep_by_repository."
  type        = map(number)
  default     = { daily = 14, weekly = 8, monthly = 12 }
  validation {
    condition     = length(setsubtract(keys(var.keep), ["last", "hourly", "daily", "weekly", "monthly", "yearly"])) == 0
    error_message = "keep: last, hourly, daily, weekly, monthly and yearly are restic's rules: ${join(", ", keys(var.keep))}."
  }
  validation {
    condition     = length(var.keep) == 0 || contains(values(var.keep), -1) || max(0, values(var.keep)...) >= 3
    error_message = "keep: no rule keeps three snapshots, which always stay: maintainer would refuse such a policy. Keep more."
  }
}

variable "keep_by_repository" {
  description = "Rules of single repositories, by name."
  type        = map(map(number))
  default     = {}
}

variable "expect" {
  description = "Which host backs up which paths, and how often (such as 1d), by repository. Without it a person confirms what the first run saw: maintainer accept."
  type = map(object({
    host  = string
    paths = list(string)
    every = optional(string)
  }))
  default = {}
}

variable "keep_until" {
  description = "The last day on which a retired host's repository is needed, such as 2031-12-31, or \"for ever\", by repository: nothing of it is forgotten, and no backup missed."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for until in values(var.keep_until) : until == "for ever" || can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", until))])
    error_message = "keep_until: a date such as 2031-12-31, or \"for ever\"."
  }
}

variable "probation_days" {
  description = "How long a snapshot waits before it counts."
  type        = number
  default     = 14
}

variable "s3_profile" {
  description = "The AWS profile with which a machine of yours reaches S3 (compute = \"local\"); with ec2 the instance's role does."
  type        = string
  default     = null
}

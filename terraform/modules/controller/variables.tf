# What calls maintainer run on a schedule.

variable "name" {
  description = "Begins the names of all that is made."
  type        = string
  default     = "maintainer"
}

variable "image" {
  description = "The controller's container image, by digest (Dockerfile in the project's root)."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image: ${var.image} is not pinned: a tag can be pushed over, and the controller passes roles. End it by @sha256: and the digest that docker push printed."
  }
}

variable "architecture" {
  description = "For which processors the image was built: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture: X86_64 or ARM64."
  }
}

variable "maintainer_toml" {
  description = "The configuration: the output of the module configuration. It stands in the task's definition, and holds no secret."
  type        = string
  validation {
    condition     = length(var.maintainer_toml) <= 60000
    error_message = "maintainer_toml: ${length(var.maintainer_toml)} characters do not fit into a task's definition (64 KiB). Give some groups a controller of their own."
  }
}

variable "repositories" {
  description = "Names of the repositories: each has an alarm of its own."
  type        = list(string)
}

variable "state" {
  description = "The state store: the output store of the module state."
  type = object({
    bucket = string
    prefix = string
  })
}

variable "maintenance_role_arns" {
  description = "The roles that the controller may pass to instances: the output role_arn of each module instance."
  type        = list(string)
  validation {
    condition     = length(var.maintenance_role_arns) > 0
    error_message = "maintenance_role_arns: at least one, or no instance can be launched."
  }
}

variable "gateways" {
  description = "The gateways that it recycles daily: of each module gateway the outputs role_arn and gateway.elastic_ip."
  type = list(object({
    role_arn   = string
    elastic_ip = string
  }))
  default = []
}

variable "gateway_schedule" {
  description = "When gateways are recycled, as schedule."
  type        = string
  default     = "cron(47 1 * * ? *)"
  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.gateway_schedule))
    error_message = "gateway_schedule: cron(47 1 * * ? *) or rate(1 day)."
  }
}

variable "network" {
  description = "Where it runs: the output controller of the module network."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
}

variable "schedule" {
  description = "When it runs (EventBridge Scheduler's syntax), by UTC unless timezone says otherwise."
  type        = string
  default     = "cron(17 3 * * ? *)"
  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule: cron(17 3 * * ? *) or rate(1 day)."
  }
}

variable "timezone" {
  description = "Time zone of the schedule, such as Europe/Berlin."
  type        = string
  default     = "UTC"
}

variable "alarm_days" {
  description = "After how many days without a commit of a repository its alarm rises."
  type        = number
  default     = 2
  validation {
    condition     = var.alarm_days >= 1 && var.alarm_days <= 7
    error_message = "alarm_days: 1 to 7: CloudWatch looks back a week at most."
  }
}

variable "notify" {
  description = "E-mail addresses that are told of alarms; each must confirm once."
  type        = list(string)
  default     = []
}

variable "log_days" {
  description = "How long the controller's logs are kept. The state store has every run's events anyway."
  type        = number
  default     = 400
}

variable "kms_key_arn" {
  description = "KMS key for logs, topic and queue; its policy must let CloudWatch Logs, CloudWatch and Scheduler use it. AWS's own keys where left out."
  type        = string
  default     = null
}

variable "spot_service_linked_roles" {
  description = "Make the account's service-linked roles for spot instances and fleets: true in an account that has never used either."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for all that is made."
  type        = map(string)
  default     = {}
}

# What a gateway is made from.

variable "group" {
  description = "Name of the group, as in the configuration's [group.NAME]."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,31}$", var.group))
    error_message = "group: at most 32 of a-z, 0-9 and hyphen, such as servers."
  }
}

variable "repositories" {
  description = "The repositories of the hosts that come through the gateway, by name: entries of the output repositories of the module repository. Give each of them principal_arn = the output role_arn there."
  type = map(object({
    bucket   = string
    prefix   = string
    location = string
    kms_key  = optional(string)
  }))
  validation {
    condition     = length(var.repositories) > 0
    error_message = "repositories: at least one: a gateway without hosts has nothing to serve."
  }
  validation {
    condition     = length(distinct([for one in values(var.repositories) : "${one.bucket}/${dirname(one.prefix)}"])) <= 1
    error_message = "repositories: a gateway serves one folder of one bucket, and these lie in several: ${join(", ", [for one in values(var.repositories) : "${one.bucket}/${one.prefix}"])}. Give them prefixes side by side, or a gateway each."
  }
  validation {
    condition     = alltrue([for name, one in var.repositories : basename(one.prefix) == name])
    error_message = "repositories: a host's user is its folder: leave prefix out in the module repository, or end it by the host's name."
  }
}

variable "network" {
  description = "Where it is: a VPC, and subnets whose route table leads to the internet: hosts come from there, and it reaches S3 and the parameter store."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "network: at least one subnet."
  }
}

variable "sources" {
  description = "Who may come, by name: networks (CIDR) of the hosts, and of you where you recycle it by hand."
  type        = map(string)
  validation {
    condition     = length(var.sources) > 0 && alltrue([for source in values(var.sources) : can(cidrnetmask(source))])
    error_message = "sources: at least one network, each in CIDR notation, such as 203.0.113.0/24."
  }
  validation {
    condition     = !contains(values(var.sources), "0.0.0.0/0")
    error_message = "sources: 0.0.0.0/0 is everybody. Name the networks that your hosts come from."
  }
}

variable "controller_security_group_ids" {
  description = "The controller's security groups: the output controller of the module network. Where the VPC is another one, leave it out and name the controller's address in sources."
  type        = list(string)
  default     = []
}

variable "address" {
  description = "What hosts call it: a name of yours that leads to the output public_ip. Without it, that address."
  type        = string
  default     = null
}

variable "port" {
  description = "The port that hosts come to."
  type        = number
  default     = 8000
}

variable "image" {
  description = "The pinned image: the output image of the module image."
  type = object({
    id     = string
    digest = string
    device = string
  })
}

variable "types" {
  description = "Instance types, the preferred first."
  type        = list(string)
  default     = ["t3.nano", "t3a.nano", "t3.micro"]
  validation {
    condition     = length(var.types) > 0
    error_message = "types: at least one."
  }
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}
}

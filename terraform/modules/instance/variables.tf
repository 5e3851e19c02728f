# What one group's maintenance is made from. A group is one classification of data: its own role, passwords and instances.

variable "group" {
  description = "Name of the group, as in the configuration's [group.NAME]."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,31}$", var.group)) && var.group != "gateway"
    error_message = "group: at most 32 of a-z, 0-9 and hyphen, such as servers; and not gateway, below which the gateways' own secrets lie."
  }
}

variable "repositories" {
  description = "The group's repositories, by name: entries of the output repositories of the module repository."
  type = map(object({
    bucket   = string
    prefix   = string
    location = string
    kms_key  = optional(string)
  }))
  validation {
    condition     = length(var.repositories) > 0
    error_message = "repositories: at least one: a group without repositories has nothing to maintain."
  }
}

variable "state" {
  description = "The state store: the output store of the module state."
  type = object({
    bucket = string
    prefix = string
  })
  validation {
    condition     = !contains([for one in values(var.repositories) : one.bucket], var.state.bucket)
    error_message = "state: ${var.state.bucket} holds repositories: a backup host could write into the ledger. Give the state store a bucket of its own."
  }
}

variable "compute" {
  description = "ec2: a short-lived instance takes the role. local: a machine of yours does; whoever holds that machine holds the role."
  type        = string
  default     = "ec2"
  validation {
    condition     = contains(["ec2", "local"], var.compute)
    error_message = "compute: ec2 or local."
  }
}

variable "assumed_by" {
  description = "With compute = \"local\": ARNs of the users or roles that may take the role."
  type        = list(string)
  default     = []
  validation {
    condition     = (var.compute == "local") == (length(var.assumed_by) > 0)
    error_message = "assumed_by: name who takes the role where compute is local, and nobody where it is ec2."
  }
}

variable "image" {
  description = "With compute = \"ec2\": the pinned image, the output image of the module image."
  type = object({
    id     = string
    digest = string
    device = string
  })
  default = null
  validation {
    condition     = (var.compute == "ec2") == (var.image != null)
    error_message = "image: name the pinned image where compute is ec2, and none where it is local."
  }
}

variable "network" {
  description = "With compute = \"ec2\": where instances are launched, the output network of the module network."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
  validation {
    condition     = (var.compute == "ec2") == (try(length(var.network.subnet_ids), 0) > 0)
    error_message = "network: at least one subnet where compute is ec2, and no network where it is local."
  }
}

variable "types" {
  description = "Instance types, the preferred first. Several, so that spot capacity is found."
  type        = list(string)
  default     = ["m7i.large", "m7a.large", "m6i.large", "m6a.large", "m5.large"]
  validation {
    condition     = length(var.types) > 0
    error_message = "types: at least one instance type, such as m7i.large."
  }
}

variable "market" {
  description = "spot, on-demand, or both in the order in which they are tried."
  type        = list(string)
  default     = ["spot", "on-demand"]
  validation {
    condition     = length(var.market) > 0 && length(setsubtract(var.market, ["spot", "on-demand"])) == 0
    error_message = "market: spot, on-demand, or both."
  }
}

variable "max_price" {
  description = "The most that an hour of the instance may cost, in USD; 0 is EC2's own limit, which for spot is the on-demand price."
  type        = number
  default     = 0
  validation {
    condition     = var.max_price >= 0
    error_message = "max_price: USD an hour, such as 0.08; 0 for EC2's own limit."
  }
}

variable "instance_connect_endpoint" {
  description = "The id of an EC2 Instance Connect Endpoint, for a controller that runs outside the network: the output of the module network. Within it the way is direct, and needs none."
  type        = string
  default     = null
  validation {
    condition     = var.instance_connect_endpoint == null || can(regex("^eice-[0-9a-f]+$", var.instance_connect_endpoint))
    error_message = "instance_connect_endpoint: its id, which begins with eice-, or null."
  }
}

variable "ssh_port" {
  description = "On which port the image's sshd listens."
  type        = number
  default     = 22
}

variable "disk_gib" {
  description = "Size of an instance's disk, for restic's cache of trees, which takes up to half of what is free, and does without where that is too little."
  type        = number
  default     = 16
  validation {
    condition     = var.disk_gib >= 8
    error_message = "disk_gib: at least 8: the image alone takes two."
  }
}

variable "disk_kms_key_arn" {
  description = "KMS key under which instances' disks are encrypted; the account's aws/ebs where left out. Its policy must let EC2's service-linked roles for spot use it."
  type        = string
  default     = null
}

variable "password_kms_key_arn" {
  description = "KMS key under which the passwords are encrypted in Parameter Store; the account's aws/ssm where left out."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for all that is made, instances and their disks too."
  type        = map(string)
  default     = {}
}

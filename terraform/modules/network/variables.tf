# Where instances live, and what they reach from there.

variable "name" {
  description = "Begins the names of all that is made."
  type        = string
  default     = "maintainer"
}

variable "cidr" {
  description = "Addresses of the VPC that is made."
  type        = string
  default     = "10.83.0.0/24"
  validation {
    condition     = can(cidrsubnet(var.cidr, 2, 3))
    error_message = "cidr: ${var.cidr} is no range of addresses that can be divided, such as 10.83.0.0/24."
  }
}

variable "zones" {
  description = "How many availability zones have a subnet. Several, so that spot capacity is found; each costs its interface endpoints once more."
  type        = number
  default     = 2
  validation {
    condition     = var.zones >= 1 && var.zones <= 4
    error_message = "zones: 1 to 4."
  }
}

variable "existing" {
  description = "A VPC of your own instead of one that is made, with DNS support and DNS hostnames on: its private subnets, and their route tables where the S3 gateway endpoint is to be made here; none where there is one already."
  type = object({
    vpc_id          = string
    subnet_ids      = list(string)
    route_table_ids = optional(list(string), [])
  })
  default = null
  validation {
    condition     = var.existing == null || try(length(var.existing.subnet_ids), 0) > 0
    error_message = "existing: name at least one private subnet of ${try(var.existing.vpc_id, "the VPC")}."
  }
}

variable "buckets" {
  description = "The buckets that may be reached from here, repositories and state: nothing is carried to any other."
  type        = list(string)
  validation {
    condition     = length(var.buckets) > 0
    error_message = "buckets: name the repositories' and the state store's, or no instance reaches them."
  }
}

variable "interface_endpoints" {
  description = "Services that are reached by an interface endpoint, each billed by the hour and zone: ssm for passwords; the controller's as well where it runs here."
  type        = list(string)
  default     = ["ssm"]
}

variable "controller" {
  description = "Whether the controller runs here: then it reaches EC2, its image, its log group, and the instances' SSH."
  type        = bool
  default     = true
}

variable "ssh_from" {
  description = "Addresses from which instances may be reached by SSH beside the controller's, such as a VPN's. Never the internet's: there is no way in."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for range in var.ssh_from : can(cidrnetmask(range)) && try(tonumber(split("/", range)[1]), 0) >= 8])
    error_message = "ssh_from: IPv4 ranges of a network of yours, such as 10.20.0.0/16; none wider than /8."
  }
}

variable "ssh_port" {
  description = "On which port the image's sshd listens."
  type        = number
  default     = 22
}

variable "instance_connect_endpoint" {
  description = "Make an EC2 Instance Connect Endpoint, by which who has the right ec2-instance-connect:OpenTunnel reaches instances: a person, or a controller outside the network."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags for all that is made."
  type        = map(string)
  default     = {}
}

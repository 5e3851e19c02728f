# In a network that is there already: its private subnets get a way to S3 and to the passwords, and nothing else is changed in it.

variable "name" {
  description = "Begins the buckets' names, which are the whole world's: your company's."
  type        = string
}

variable "vpc_id" {
  description = "Your VPC, with DNS support and DNS hostnames on."
  type        = string
}

variable "subnet_ids" {
  description = "Its private subnets in which instances are launched."
  type        = list(string)
}

variable "route_table_ids" {
  description = "Their route tables, for S3's gateway endpoint; none where the VPC has one that leads to the buckets."
  type        = list(string)
  default     = []
}

variable "ssh_from" {
  description = "From where your own machine, which calls maintainer run, reaches instances: your VPN's addresses."
  type        = list(string)
}

variable "image_id" {
  description = "The image that you have made (modules/image/README.md)."
  type        = string
}

variable "image_digest" {
  description = "Its digest."
  type        = string
}

variable "ssh_port" {
  description = "On which port the image's sshd listens."
  type        = number
  default     = 22
}

variable "s3_endpoint" {
  description = "S3's address where it is not AWS's own: that of a test's endpoint."
  type        = string
  default     = null
}

data "aws_region" "current" {}

module "repository" {
  source           = "../../modules/repository"
  bucket           = "${var.name}-backups"
  hosts            = { web = {} }
  maintenance_arns = [module.instance.role_arn]
  s3_endpoint      = var.s3_endpoint
}

module "state" {
  source             = "../../modules/state"
  bucket             = "${var.name}-maintainer-state"
  repository_buckets = [module.repository.bucket]
  s3_endpoint        = var.s3_endpoint
}

module "image" {
  source = "../../modules/image"
  id     = var.image_id
  digest = var.image_digest
}

module "network" {
  source = "../../modules/network"
  existing = {
    vpc_id          = var.vpc_id
    subnet_ids      = var.subnet_ids
    route_table_ids = var.route_table_ids
  }
  buckets    = [module.repository.bucket, module.state.bucket]
  controller = false # maintainer run is called from a machine of yours, by cron
  ssh_from   = var.ssh_from
  ssh_port   = var.ssh_port
}

module "instance" {
  source       = "../../modules/instance"
  group        = "servers"
  repositories = module.repository.repositories
  state        = module.state.store
  image        = module.image.image
  network      = module.network.network
  ssh_port     = var.ssh_port
}

module "configuration" {
  source         = "../../modules/configuration"
  region         = data.aws_region.current.name
  state_location = module.state.location
  groups         = [module.instance.group]
}

output "maintainer_toml" {
  description = "terraform output -raw maintainer_toml > maintainer.toml"
  value       = module.configuration.maintainer_toml
}

output "host_users" {
  description = "Make each an access key: aws iam create-access-key --user-name NAME"
  value       = module.repository.host_users
}

output "passwords" {
  description = "Where the repositories' passwords are: aws ssm get-parameter --with-decryption --name NAME"
  value       = module.instance.passwords
}

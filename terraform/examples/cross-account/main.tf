# Backups and ledger in an account of their own: who holds the whole compute account still erases nothing.

variable "name" {
  description = "Begins the buckets' names, which are the whole world's: your company's."
  type        = string
}

variable "storage_profile" {
  description = "AWS profile of the storage account's administrator. The other profile or credentials are those of the compute account."
  type        = string
}

variable "image_id" {
  description = "The image that you have made in the compute account (modules/image/README.md)."
  type        = string
}

variable "image_digest" {
  description = "Its digest."
  type        = string
}

variable "controller_image" {
  description = "The controller's container image, by digest."
  type        = string
}

variable "cidr" {
  description = "Addresses of the network that is made."
  type        = string
  default     = "10.83.0.0/24"
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

provider "aws" {} # the compute account

provider "aws" {
  alias   = "storage"
  profile = var.storage_profile
}

data "aws_region" "current" {}

module "repository" {
  source           = "../../modules/repository"
  providers        = { aws = aws.storage }
  bucket           = "${var.name}-backups"
  hosts            = { web = {} }
  maintenance_arns = [module.instance.role_arn]
  cross_account    = { servers = { role_arn = module.instance.role_arn, hosts = ["web"] } }
  s3_endpoint      = var.s3_endpoint
}

module "state" {
  source             = "../../modules/state"
  providers          = { aws = aws.storage }
  bucket             = "${var.name}-maintainer-state"
  repository_buckets = [module.repository.bucket]
  cross_account = {
    servers    = { role_arn = module.instance.role_arn, repositories = ["web"] }
    controller = { role_arn = module.controller.role_arn }
  }
  s3_endpoint = var.s3_endpoint
}

module "image" {
  source = "../../modules/image"
  id     = var.image_id
  digest = var.image_digest
}

module "network" {
  source   = "../../modules/network"
  cidr     = var.cidr
  buckets  = [module.repository.bucket, module.state.bucket]
  ssh_port = var.ssh_port
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

module "controller" {
  source                = "../../modules/controller"
  image                 = var.controller_image
  maintainer_toml       = module.configuration.maintainer_toml
  repositories          = keys(module.repository.repositories)
  state                 = module.state.store
  maintenance_role_arns = [module.instance.role_arn]
  network               = module.network.controller
}

output "maintainer_toml" {
  description = "terraform output -raw maintainer_toml > maintainer.toml"
  value       = module.configuration.maintainer_toml
}

output "host_users" {
  description = "In the storage account. Make each an access key: aws iam create-access-key --user-name NAME"
  value       = module.repository.host_users
}

output "passwords" {
  description = "In the compute account: aws ssm get-parameter --with-decryption --name NAME"
  value       = module.instance.passwords
}

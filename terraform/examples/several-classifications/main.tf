# Three classifications of data: groups that share nothing but the state store's bucket and the network. The strictest has a bucket and a key of its own.

variable "name" {
  description = "Begins the buckets' names, which are the whole world's: your company's."
  type        = string
}

variable "image_id" {
  description = "The image that you have made (modules/image/README.md)."
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

variable "s3_endpoint" {
  description = "S3's address where it is not AWS's own: that of a test's endpoint."
  type        = string
  default     = null
}

locals {
  # Which hosts belong to which group. One run's instance reads one group, and no other's passwords.
  groups = {
    servers  = { for name in ["web", "db"] : name => module.repository.repositories[name] }
    desktops = { for name in ["ann"] : name => module.repository.repositories[name] }
    clinical = module.clinical.repositories
  }
}

data "aws_region" "current" {}

module "repository" {
  source           = "../../modules/repository"
  bucket           = "${var.name}-backups"
  hosts            = { web = {}, db = {}, ann = { prefix = "desktops/ann" } }
  maintenance_arns = [module.instance["servers"].role_arn, module.instance["desktops"].role_arn]
  s3_endpoint      = var.s3_endpoint
}

# Its key can be closed by whoever administers the key, who need not be who administers the bucket.
resource "aws_kms_key" "clinical" {
  description         = "backups of clinical records"
  enable_key_rotation = true

  lifecycle {
    prevent_destroy = true # without it the backups below it are noise
  }
}

module "clinical" {
  source           = "../../modules/repository"
  bucket           = "${var.name}-clinical-backups"
  hosts            = { records = {} }
  kms_key_arn      = aws_kms_key.clinical.arn
  object_lock      = { mode = "COMPLIANCE", days = 30 }
  maintenance_arns = [module.instance["clinical"].role_arn]
  s3_endpoint      = var.s3_endpoint
}

module "state" {
  source             = "../../modules/state"
  bucket             = "${var.name}-maintainer-state"
  repository_buckets = [module.repository.bucket, module.clinical.bucket]
  s3_endpoint        = var.s3_endpoint
}

module "image" {
  source = "../../modules/image"
  id     = var.image_id
  digest = var.image_digest
}

module "network" {
  source  = "../../modules/network"
  cidr    = var.cidr
  buckets = [module.repository.bucket, module.clinical.bucket, module.state.bucket]
}

module "instance" {
  for_each     = local.groups
  source       = "../../modules/instance"
  group        = each.key
  repositories = each.value
  state        = module.state.store
  image        = module.image.image
  network      = module.network.network
}

module "configuration" {
  source         = "../../modules/configuration"
  region         = data.aws_region.current.name
  state_location = module.state.location
  groups         = [for instance in module.instance : instance.group]
  # Law says how long records are kept; for the others the default's months do.
  keep_by_repository = { records = { daily = 30, monthly = 24, yearly = 10 } }
}

module "controller" {
  source                = "../../modules/controller"
  image                 = var.controller_image
  maintainer_toml       = module.configuration.maintainer_toml
  repositories          = flatten([for repositories in local.groups : keys(repositories)])
  state                 = module.state.store
  maintenance_role_arns = [for instance in module.instance : instance.role_arn]
  network               = module.network.controller
}

output "maintainer_toml" {
  description = "terraform output -raw maintainer_toml > maintainer.toml"
  value       = module.configuration.maintainer_toml
}

output "host_users" {
  description = "Make each an access key: aws iam create-access-key --user-name NAME"
  value       = merge(module.repository.host_users, module.clinical.host_users)
}

output "passwords" {
  description = "Where the repositories' passwords are: aws ssm get-parameter --with-decryption --name NAME"
  value       = merge([for instance in module.instance : instance.passwords]...)
}

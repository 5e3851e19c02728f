# The whole of it: several hosts, a network of their own, a short-lived instance from the pinned image.

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
  description = "The controller's container image by digest, once it is pushed to the repository that the first apply makes. Until then nothing is scheduled."
  type        = string
  default     = null
}

variable "notify" {
  description = "E-mail addresses that are told of alarms."
  type        = list(string)
  default     = []
}

variable "new_account" {
  description = "Whether this account has never used spot instances: then their service-linked roles are made."
  type        = bool
  default     = false
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

variable "gateway" {
  description = "An append-only gateway, for a host mail that holds no key of the bucket: subnets with a way to the internet, and the networks that may come, by name."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
    sources    = map(string)
  })
  default = null
}

variable "gateway_port" {
  description = "The port that hosts come to."
  type        = number
  default     = 8000
}

variable "gateway_certificate" {
  description = "The certificate's text, once maintainer gateway certify has written it: file(\"gateway.pem\")."
  type        = string
  default     = null
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
  hosts            = merge({ web = {}, db = { prefix = "databases/db" } }, var.gateway == null ? {} : { mail = { principal_arn = module.gateway[0].role_arn } })
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

module "gateway" {
  count        = var.gateway == null ? 0 : 1
  source       = "../../modules/gateway"
  group        = "servers"
  repositories = { mail = module.repository.repositories["mail"] }
  network      = { vpc_id = var.gateway.vpc_id, subnet_ids = var.gateway.subnet_ids }
  sources      = var.gateway.sources
  port         = var.gateway_port
  image        = module.image.image
}

module "configuration" {
  source              = "../../modules/configuration"
  region              = data.aws_region.current.name
  state_location      = module.state.location
  groups              = [module.instance.group]
  gateways            = var.gateway == null ? {} : { servers = module.gateway[0].gateway }
  gateway_certificate = coalesce(var.gateway_certificate, "gateway.pem")
}

resource "aws_ecr_repository" "controller" {
  name                 = "maintainer"
  image_tag_mutability = "IMMUTABLE"
  image_scanning_configuration {
    scan_on_push = true
  }
}

module "controller" {
  count                     = var.controller_image == null ? 0 : 1
  source                    = "../../modules/controller"
  image                     = var.controller_image
  maintainer_toml           = module.configuration.maintainer_toml
  repositories              = keys(module.repository.repositories)
  state                     = module.state.store
  maintenance_role_arns     = [module.instance.role_arn]
  gateways                  = [for one in module.gateway : { role_arn = one.role_arn, elastic_ip = one.gateway.elastic_ip }]
  network                   = module.network.controller
  notify                    = var.notify
  spot_service_linked_roles = var.new_account
}

output "controller_repository" {
  description = "Where the controller's image is pushed to."
  value       = aws_ecr_repository.controller.repository_url
}

output "controller" {
  description = "The controller's role and log group, and how a run is started outside the schedule."
  value       = one(module.controller[*])
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

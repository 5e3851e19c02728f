# The least: one host, one bucket, its state store, and a machine of yours that maintains it.

variable "name" {
  description = "Begins the buckets' names, which are the whole world's: your company's."
  type        = string
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

# The machine's own identity: it can take the role, and nothing else.
resource "aws_iam_user" "machine" {
  name = "${var.name}-maintainer"
  path = "/maintainer/"
}

data "aws_iam_policy_document" "machine" {
  statement {
    actions   = ["sts:AssumeRole"]
    resources = [module.instance.role_arn]
  }
}

resource "aws_iam_user_policy" "machine" {
  name   = "take-the-role"
  user   = aws_iam_user.machine.name
  policy = data.aws_iam_policy_document.machine.json
}

module "instance" {
  source       = "../../modules/instance"
  group        = "servers"
  compute      = "local"
  assumed_by   = [aws_iam_user.machine.arn]
  repositories = module.repository.repositories
  state        = module.state.store
}

module "configuration" {
  source         = "../../modules/configuration"
  region         = data.aws_region.current.name
  s3_profile     = "maintenance"
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

output "machine_user" {
  description = "Make it an access key too; the profile maintenance takes role_arn with it."
  value       = aws_iam_user.machine.name
}

output "role_arn" {
  description = "role_arn of the profile maintenance."
  value       = module.instance.role_arn
}

output "passwords" {
  description = "Where the repositories' passwords are: aws ssm get-parameter --with-decryption --name NAME"
  value       = module.instance.passwords
}

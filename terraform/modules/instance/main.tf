# What maintains one group: a role that reads versions, puts, tags and marks in the group's repositories, and never deletes a version.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition       = data.aws_partition.current.partition
  account         = data.aws_caller_identity.current.account_id
  region          = data.aws_region.current.name
  suffix          = data.aws_partition.current.dns_suffix
  name            = "maintainer-${var.group}"
  buckets         = { for one in values(var.repositories) : one.bucket => one.prefix... }
  bucket_kms_keys = distinct(compact([for one in values(var.repositories) : one.kms_key]))
  state_arn       = "arn:${local.partition}:s3:::${var.state.bucket}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = var.compute == "ec2" ? "Service" : "AWS"
      identifiers = var.compute == "ec2" ? ["ec2.${local.suffix}"] : var.assumed_by
    }
  }
}

data "aws_iam_policy_document" "maintenance" {
  statement {
    sid = "Maintain"
    actions = [
      "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectVersionTagging",
      "s3:PutObject", "s3:PutObjectVersionTagging",
    ]
    resources = [for one in values(var.repositories) : "arn:${local.partition}:s3:::${one.bucket}/${one.prefix}/*"]
  }

  statement {
    sid       = "LookAtBuckets"
    actions   = ["s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"]
    resources = concat([for bucket in keys(local.buckets) : "arn:${local.partition}:s3:::${bucket}"], [local.state_arn])
  }

  dynamic "statement" {
    for_each = local.buckets
    content {
      actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
      resources = ["arn:${local.partition}:s3:::${statement.key}"]
      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = [for prefix in statement.value : "${prefix}/*"]
      }
    }
  }

  statement {
    sid       = "AppendToState"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    resources = [for name in keys(var.repositories) : "${local.state_arn}/${var.state.prefix}/${name}/*"]
  }

  statement {
    sid       = "ListState"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [local.state_arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [for name in keys(var.repositories) : "${var.state.prefix}/${name}/*"]
    }
  }

  statement {
    sid       = "ReadPasswords"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/maintainer/${var.group}/*"]
  }

  dynamic "statement" {
    for_each = length(local.bucket_kms_keys) == 0 ? [] : [1]
    content {
      sid       = "EncryptObjects"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = local.bucket_kms_keys
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${local.region}.${local.suffix}"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.password_kms_key_arn == null ? [] : [var.password_kms_key_arn]
    content {
      sid       = "DecryptPasswords"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["ssm.${local.region}.${local.suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name               = local.name
  path               = "/maintainer/"
  description        = "maintains the repositories of group ${var.group}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "maintenance" {
  name   = "maintenance"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.maintenance.json

  lifecycle {
    precondition {
      condition     = length(jsonencode(jsondecode(data.aws_iam_policy_document.maintenance.json))) <= 10240
      error_message = "repositories: ${length(var.repositories)} make the role's policy longer than IAM's 10,240 characters. Split the group, or shorten names and prefixes."
    }
  }
}

# Whatever else somebody gives the role shows in the next plan, and the next apply takes it away.
resource "aws_iam_role_policies_exclusive" "this" {
  role_name    = aws_iam_role.this.name
  policy_names = [aws_iam_role_policy.maintenance.name]
}

resource "aws_iam_role_policy_attachments_exclusive" "this" {
  role_name   = aws_iam_role.this.name
  policy_arns = []
}

data "aws_ec2_instance_type_offerings" "region" {
  count         = var.compute == "ec2" ? 1 : 0
  location_type = "region"
  filter {
    name   = "instance-type"
    values = var.types
  }
}

resource "aws_iam_instance_profile" "this" {
  count = var.compute == "ec2" ? 1 : 0
  name  = local.name
  path  = "/maintainer/"
  role  = aws_iam_role.this.name
  tags  = var.tags

  lifecycle {
    precondition {
      condition     = length(setsubtract(var.types, data.aws_ec2_instance_type_offerings.region[0].instance_types)) == 0
      error_message = "types: ${local.region} does not offer ${join(", ", setsubtract(var.types, data.aws_ec2_instance_type_offerings.region[0].instance_types))}. Take them out of types, or name others: aws ec2 describe-instance-type-offerings --region ${local.region}."
    }
  }
}

# What instances have beyond what a run decides: a run takes this template's default version, and lays its own over it.
resource "aws_launch_template" "this" {
  count                                = var.compute == "ec2" ? 1 : 0
  name                                 = local.name
  description                          = "instances of group ${var.group}"
  update_default_version               = true
  image_id                             = var.image.id
  instance_initiated_shutdown_behavior = "terminate"
  tags                                 = var.tags

  block_device_mappings {
    device_name = var.image.device
    ebs {
      encrypted             = true
      kms_key_id            = var.disk_kms_key_arn
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      delete_on_termination = true
    }
  }

  iam_instance_profile {
    name = aws_iam_instance_profile.this[0].name
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  dynamic "tag_specifications" {
    for_each = length(var.tags) == 0 ? [] : ["instance", "volume"]
    content {
      resource_type = tag_specifications.value
      tags          = var.tags
    }
  }
}

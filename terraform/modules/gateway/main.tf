# An append-only gateway before a group's repositories: a role that does what a host may and no more, an address, and who may come to it.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  suffix    = data.aws_partition.current.dns_suffix
  name      = "maintainer-gateway-${var.group}"
  bucket    = values(var.repositories)[0].bucket
  arn       = "arn:${local.partition}:s3:::${local.bucket}"
  parent    = dirname(values(var.repositories)[0].prefix)
  endpoint  = trimsuffix(values(var.repositories)[0].location, "/${local.bucket}/${values(var.repositories)[0].prefix}")
  location  = local.parent == "." ? "${local.endpoint}/${local.bucket}" : "${local.endpoint}/${local.bucket}/${local.parent}"
  prefixes  = [for one in values(var.repositories) : one.prefix]
  kms_keys  = distinct(compact([for one in values(var.repositories) : one.kms_key]))
  secrets   = "arn:${local.partition}:ssm:${local.region}:${data.aws_caller_identity.current.account_id}:parameter/maintainer/gateway/${var.group}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.${local.suffix}"]
    }
  }
}

# What each of its hosts may, and its own secrets: no version, and no object but locks, is ever deleted.
data "aws_iam_policy_document" "gateway" {
  statement {
    sid       = "BackUp"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = [for prefix in local.prefixes : "${local.arn}/${prefix}/*"]
  }

  statement {
    sid       = "Unlock"
    actions   = ["s3:DeleteObject"]
    resources = [for prefix in local.prefixes : "${local.arn}/${prefix}/locks/*"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [local.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = flatten([for prefix in local.prefixes : [prefix, "${prefix}/*"]])
    }
  }

  statement {
    sid       = "ReadItsSecrets"
    actions   = ["ssm:GetParameter", "ssm:GetParametersByPath"]
    resources = ["${local.secrets}/*"]
  }

  dynamic "statement" {
    for_each = length(local.kms_keys) == 0 ? [] : [1]
    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = local.kms_keys
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${local.region}.${local.suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name               = local.name
  path               = "/maintainer/"
  description        = "takes backups for the hosts of group ${var.group}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "gateway" {
  name   = "gateway"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.gateway.json
}

# Whatever else somebody gives the role shows in the next plan, and the next apply takes it away.
resource "aws_iam_role_policies_exclusive" "this" {
  role_name    = aws_iam_role.this.name
  policy_names = [aws_iam_role_policy.gateway.name]
}

resource "aws_iam_role_policy_attachments_exclusive" "this" {
  role_name   = aws_iam_role.this.name
  policy_arns = []
}

resource "aws_iam_instance_profile" "this" {
  name = local.name
  path = "/maintainer/"
  role = aws_iam_role.this.name
  tags = var.tags
}

resource "aws_eip" "this" {
  domain = "vpc"
  tags   = merge(var.tags, { Name = local.name })
}

resource "aws_security_group" "this" {
  name        = local.name
  description = "the gateway of group ${var.group}"
  vpc_id      = var.network.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "hosts" {
  for_each          = var.sources
  security_group_id = aws_security_group.this.id
  description       = each.key
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
}

# Before a new instance takes over, the controller asks it for its certificate.
resource "aws_vpc_security_group_ingress_rule" "controller" {
  count                        = length(var.controller_security_group_ids)
  security_group_id            = aws_security_group.this.id
  description                  = "controller"
  referenced_security_group_id = var.controller_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_egress_rule" "controller" {
  count                        = length(var.controller_security_group_ids)
  security_group_id            = var.controller_security_group_ids[count.index]
  description                  = "gateway of group ${var.group}"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

# S3 and the parameter store, wherever they are: it speaks with nothing else.
resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.this.id
  description       = "AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# The state store: a versioned bucket in which nothing is put over anything, and of which nothing is deleted.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  arn = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"
  # A role in another account needs both, its own policy and this one.
  below = { for name, one in var.cross_account : name => length(one.repositories) == 0 ? ["${var.prefix}/*"] : [for repository in one.repositories : "${var.prefix}/${repository}/*"] }
  cross_account = flatten([[
    for name, one in var.cross_account : [
      {
        role      = one.role_arn
        actions   = concat(["s3:GetObject", "s3:GetObjectVersion"], length(one.repositories) == 0 ? [] : ["s3:PutObject"])
        resources = [for keys in local.below[name] : "${local.arn}/${keys}"]
        prefixes  = []
      },
      { role = one.role_arn, actions = ["s3:ListBucket", "s3:ListBucketVersions"], resources = [local.arn], prefixes = local.below[name] },
    ]
    ], [
    # A controller, which has no repositories, keeps what its runs have cost.
    for name, one in var.cross_account : [
      { role = one.role_arn, actions = ["s3:PutObject"], resources = ["${local.arn}/${var.prefix}/_bills/*"], prefixes = [] },
    ] if length(one.repositories) == 0
  ]])
  endpoint = coalesce(var.s3_endpoint, "https://s3.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}")
}

resource "aws_s3_bucket" "this" {
  bucket = var.bucket
  tags   = var.tags

  lifecycle {
    # Without its ledger a repository starts over as at first contact. See README.md, "Taking it down".
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = local.cross_account
    content {
      actions   = statement.value.actions
      resources = statement.value.resources
      principals {
        type        = "AWS"
        identifiers = ["arn:${data.aws_partition.current.partition}:iam::${split(":", statement.value.role)[4]}:root"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = [statement.value.role]
      }
      dynamic "condition" {
        for_each = length(statement.value.prefixes) == 0 ? [] : [1]
        content {
          test     = "StringLike"
          variable = "s3:prefix"
          values   = statement.value.prefixes
        }
      }
    }
  }

  statement {
    sid       = "HostsReachNothing"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.arn, "${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = concat(["arn:${data.aws_partition.current.partition}:iam::*:user/maintainer/hosts/*"], var.host_arns)
    }
  }

  # The roles of the modules instance and controller, in whichever account.
  statement {
    sid    = "RolesOnlyReadAndAppend"
    effect = "Deny"
    not_actions = [
      "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration", "s3:GetObject", "s3:GetObjectVersion",
      "s3:ListBucket", "s3:ListBucketVersions", "s3:PutObject",
    ]
    resources = [local.arn, "${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = ["arn:${data.aws_partition.current.partition}:iam::*:role/maintainer/*"]
    }
  }

  statement {
    sid       = "NothingIsDeleted"
    effect    = "Deny"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  # A put must say If-None-Match. The parts of a multipart upload can not: there the last request is judged.
  statement {
    sid       = "NothingIsPutOverAnything"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }
    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  depends_on = [aws_s3_bucket_public_access_block.this]
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.bucket.json
}

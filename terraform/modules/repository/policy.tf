# The bucket's own policy: it holds whatever the identities' policies say.

locals {
  host_arns = concat(
    ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:user${local.path}*"],
    [for host in values(var.hosts) : host.principal_arn if host.principal_arn != null],
  )
  host_actions = [
    "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:PutObject",
  ]
  maintain = [
    "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectVersionTagging",
    "s3:PutObject", "s3:PutObjectVersionTagging",
  ]
  look = ["s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"]
  list = ["s3:ListBucket", "s3:ListBucketVersions"]
  # A role in another account needs both, its own policy and this one. In this account it would give every group every prefix.
  cross_account = flatten([
    for group, one in var.cross_account : [
      { role = one.role_arn, actions = local.maintain, resources = [for host in one.hosts : "${local.arn}/${local.prefixes[host]}/*"], prefixes = [] },
      { role = one.role_arn, actions = local.look, resources = [local.arn], prefixes = [] },
      { role = one.role_arn, actions = local.list, resources = [local.arn], prefixes = [for host in one.hosts : "${local.prefixes[host]}/*"] },
    ]
  ])
  # What a host's put may not carry: the header's condition key, and where only some values are refused, those that are not.
  refused_headers = {
    Copies        = { key = "s3:x-amz-copy-source", except = [] }
    CustomersKeys = { key = "s3:x-amz-server-side-encryption-customer-algorithm", except = [] }
    ForeignKeys   = { key = "s3:x-amz-server-side-encryption-aws-kms-key-id", except = compact([var.kms_key_arn]) }
    Encryption    = { key = "s3:x-amz-server-side-encryption", except = [var.kms_key_arn == null ? "AES256" : "aws:kms"] }
    Classes       = { key = "s3:x-amz-storage-class", except = var.storage_classes }
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

  # Expiry by the lifecycle is S3's own act, and not judged here.
  statement {
    sid       = "NobodyDeletesVersions"
    effect    = "Deny"
    actions   = ["s3:BypassGovernanceRetention", "s3:DeleteObjectVersion"]
    resources = ["${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  statement {
    sid         = "HostsOnlyBackUp"
    effect      = "Deny"
    not_actions = local.host_actions
    resources   = [local.arn, "${local.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = local.host_arns
    }
  }

  statement {
    sid           = "HostsDeleteNothingButLocks"
    effect        = "Deny"
    actions       = ["s3:DeleteObject"]
    not_resources = ["${local.arn}/*/locks/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = local.host_arns
    }
  }

  dynamic "statement" {
    for_each = local.refused_headers
    content {
      sid       = "HostsPutNo${statement.key}"
      effect    = "Deny"
      actions   = ["s3:PutObject"]
      resources = ["${local.arn}/*"]
      principals {
        type        = "*"
        identifiers = ["*"]
      }
      condition {
        test     = "ArnLike"
        variable = "aws:PrincipalArn"
        values   = local.host_arns
      }
      # A negated operator holds where the key is absent: only a header that was sent is judged.
      condition {
        test     = "Null"
        variable = statement.value.key
        values   = ["false"]
      }
      dynamic "condition" {
        for_each = length(statement.value.except) == 0 ? [] : [statement.value.except]
        content {
          test     = "StringNotEquals"
          variable = statement.value.key
          values   = condition.value
        }
      }
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

  dynamic "statement" {
    for_each = length(var.maintenance_arns) == 0 ? [] : [1]
    content {
      sid         = "MaintenanceOnlyMaintains"
      effect      = "Deny"
      not_actions = concat(local.maintain, local.look, local.list)
      resources   = [local.arn, "${local.arn}/*"]
      principals {
        type        = "*"
        identifiers = ["*"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = var.maintenance_arns
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  depends_on = [aws_s3_bucket_public_access_block.this]
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.bucket.json
}

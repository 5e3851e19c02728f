# The hosts: each puts, gets and lists below its own prefix, and deletes below its locks/ alone.

data "aws_iam_policy_document" "host" {
  for_each = local.prefixes

  statement {
    sid       = "BackUp"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = ["${local.arn}/${each.value}/*"]
  }

  statement {
    sid       = "Unlock"
    actions   = ["s3:DeleteObject"]
    resources = ["${local.arn}/${each.value}/locks/*"]
  }

  statement {
    sid       = "FindTheBucket"
    actions   = ["s3:GetBucketLocation"]
    resources = [local.arn]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [local.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [each.value, "${each.value}/*"]
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_user" "host" {
  for_each = local.users
  name     = "${var.bucket}-${each.key}"
  path     = local.path
  tags     = var.tags
}

resource "aws_iam_user_policy" "host" {
  for_each = local.users
  name     = "repository"
  user     = aws_iam_user.host[each.key].name
  policy   = data.aws_iam_policy_document.host[each.key].json
}

# Whatever else somebody gives a host shows in the next plan, and the next apply takes it away.
resource "aws_iam_user_policies_exclusive" "host" {
  for_each     = local.users
  user_name    = aws_iam_user.host[each.key].name
  policy_names = [aws_iam_user_policy.host[each.key].name]
}

resource "aws_iam_user_policy_attachments_exclusive" "host" {
  for_each    = local.users
  user_name   = aws_iam_user.host[each.key].name
  policy_arns = []
}

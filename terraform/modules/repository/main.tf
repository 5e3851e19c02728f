# A versioned bucket of restic repositories, which its hosts can fill and not empty.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  arn      = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"
  prefixes = { for name, host in var.hosts : name => coalesce(host.prefix, name) }
  users    = { for name, host in var.hosts : name => local.prefixes[name] if host.principal_arn == null }
  path     = "/maintainer/hosts/${var.bucket}/"
  endpoint = coalesce(var.s3_endpoint, "https://s3.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}")
}

resource "aws_s3_bucket" "this" {
  bucket              = var.bucket
  object_lock_enabled = var.object_lock != null
  tags                = var.tags

  lifecycle {
    # The backups. Giving them up is a decision of its own: see README.md, "Taking it down".
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }

  lifecycle {
    # Suspended, an overwrite would destroy.
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
    bucket_key_enabled = var.kms_key_arn != null
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  # NoncurrentDays counts from the successor, not from the tag: the tag is what makes it safe.
  depends_on = [aws_s3_bucket_versioning.this]
  bucket     = aws_s3_bucket.this.id

  rule {
    id     = "expire-what-was-released"
    status = "Enabled"
    filter {
      tag {
        key   = "maintainer"
        value = "released"
      }
    }
    noncurrent_version_expiration {
      noncurrent_days = var.released_after_days
    }
  }

  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  count      = var.object_lock == null ? 0 : 1
  depends_on = [aws_s3_bucket_versioning.this]
  bucket     = aws_s3_bucket.this.id
  rule {
    default_retention {
      mode = var.object_lock.mode
      days = var.object_lock.days
    }
  }
}

resource "aws_s3_bucket_inventory" "this" {
  count                    = var.inventory == null ? 0 : 1
  bucket                   = aws_s3_bucket.this.id
  name                     = "every-version"
  included_object_versions = "All"
  optional_fields          = ["Size", "LastModifiedDate", "StorageClass", "ETag", "EncryptionStatus", "ChecksumAlgorithm"]
  schedule {
    frequency = var.inventory.frequency
  }
  destination {
    bucket {
      format     = "CSV"
      bucket_arn = var.inventory.bucket_arn
      prefix     = var.inventory.prefix
    }
  }
}

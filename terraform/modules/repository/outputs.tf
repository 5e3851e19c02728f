# What other modules and people need of it.

output "bucket" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "repositories" {
  description = "The repositories by host: bucket, prefix, location (restic's own form) and kms_key; for the modules instance and configuration."
  value = {
    for name, prefix in local.prefixes : name => {
      bucket   = var.bucket
      prefix   = prefix
      location = "s3:${local.endpoint}/${var.bucket}/${prefix}"
      kms_key  = var.kms_key_arn
    }
  }
}

output "host_users" {
  description = "The IAM users that were made, by host. Make each an access key: aws iam create-access-key --user-name NAME."
  value       = { for name, user in aws_iam_user.host : name => user.name }
}

output "host_policies" {
  description = "The hosts' policies as JSON, by host: for those that are users or roles of your own."
  value       = { for name, document in data.aws_iam_policy_document.host : name => document.json }
}

# What other modules need of it.

output "bucket" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "store" {
  description = "The state store, for the modules instance and controller: bucket and prefix."
  value = {
    bucket = aws_s3_bucket.this.id
    prefix = var.prefix
  }
}

output "location" {
  description = "The value of [state] location."
  value       = "s3:${local.endpoint}/${var.bucket}/${var.prefix}"
}

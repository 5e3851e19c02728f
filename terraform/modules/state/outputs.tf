# What other modules need of it.

output "bucket" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "prefix" {
  description = "Where in the bucket the state lies."
  value       = var.prefix
}

output "location" {
  description = "The value of [state] location."
  value       = "s3:${local.endpoint}/${var.bucket}/${var.prefix}"
}

# What the module instance needs of it.

output "image" {
  description = "The pinned image: id and digest."
  value = {
    id     = data.aws_ami.this.id
    digest = var.digest
  }
}

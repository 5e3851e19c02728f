# What the module instance needs of it.

output "image" {
  description = "The pinned image: id, digest, and the name of its root device."
  value = {
    id     = data.aws_ami.this.id
    digest = var.digest
    device = data.aws_ami.this.root_device_name
  }
}

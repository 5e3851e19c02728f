# What other modules and people need of it.

output "role_arn" {
  description = "The gateway's role: principal_arn of its hosts in the module repository, and one of gateways in the module controller."
  value       = "arn:${local.partition}:iam::${data.aws_caller_identity.current.account_id}:role/maintainer/${local.name}" # known before it is made
}

output "public_ip" {
  description = "Where it is: let the name lead here."
  value       = aws_eip.this.public_ip
}

output "gateway" {
  description = "For the module configuration: gateways, by group."
  value = {
    address          = coalesce(var.address, aws_eip.this.public_ip)
    location         = local.location
    elastic_ip       = aws_eip.this.allocation_id
    port             = var.port
    image            = var.image.id
    image_digest     = var.image.digest
    instance_profile = aws_iam_instance_profile.this.name
    subnets          = var.network.subnet_ids
    security_groups  = [aws_security_group.this.id]
    types            = var.types
  }
}

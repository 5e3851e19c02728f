# What other modules need of it.

output "role_arn" {
  description = "The role: for maintenance_arns of the module repository, and for the controller to pass."
  value       = aws_iam_role.this.arn
}

output "passwords" {
  description = "The names of the parameters that hold the passwords, by repository."
  value       = { for name, parameter in aws_ssm_parameter.password : name => parameter.name }
}

output "group" {
  description = "The group, for the module configuration."
  value = {
    name    = var.group
    compute = var.compute
    instance = var.compute == "local" ? null : merge({
      image            = var.image.id
      image_digest     = var.image.digest
      instance_profile = aws_iam_instance_profile.this[0].name
      subnets          = var.network.subnet_ids
      security_groups  = var.network.security_group_ids
      types            = var.types
      market           = var.market
      max_price        = var.max_price
      ssh_port         = var.ssh_port
      launch_template  = aws_launch_template.this[0].id
    }, var.instance_connect_endpoint == null ? {} : { instance_connect_endpoint = var.instance_connect_endpoint })
    repositories = {
      for name, one in var.repositories : name => {
        location = one.location
        password = "ssm:${aws_ssm_parameter.password[name].name}"
        kms_key  = one.kms_key
      }
    }
  }
}

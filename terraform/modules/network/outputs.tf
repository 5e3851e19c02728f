# What other modules need of it.

output "network" {
  description = "Where instances are launched, for the module instance: subnet_ids and security_group_ids."
  value = {
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.instances.id]
  }
}

output "controller" {
  description = "Where the controller runs, for the module controller: subnet_ids and security_group_ids."
  value = !var.controller ? null : {
    subnet_ids         = local.subnet_ids
    security_group_ids = [aws_security_group.controller[0].id]
  }
}

output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

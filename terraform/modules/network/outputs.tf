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

output "instance_connect_endpoint" {
  description = "The endpoint's id, for the module instance, and its ARN: who follows instances through it needs ec2-instance-connect:OpenTunnel on it, and ec2:DescribeInstanceConnectEndpoints. null where none was asked for."
  value       = one([for made in aws_ec2_instance_connect_endpoint.this : { id = made.id, arn = made.arn }])
}

output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

# What no local endpoint has, and what must not be there: on the plan.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "an_instance_connect_endpoint_reaches_instances_and_nothing_else" {
  command = plan
  variables {
    buckets                   = ["acme-backups"]
    instance_connect_endpoint = true
  }
  assert {
    condition     = length(aws_ec2_instance_connect_endpoint.this) == 1 && !aws_ec2_instance_connect_endpoint.this[0].preserve_client_ip
    error_message = "one endpoint, whose own security group the instances know it by"
  }
  assert {
    condition     = contains(keys(aws_vpc_security_group_ingress_rule.ssh), "connect") && !contains(keys(aws_vpc_security_group_egress_rule.s3), "connect")
    error_message = "it reaches SSH, and no S3"
  }
}

run "by_default_there_is_none_and_no_way_out" {
  command = plan
  variables {
    buckets = ["acme-backups"]
  }
  assert {
    condition     = length(aws_ec2_instance_connect_endpoint.this) == 0
    error_message = "no endpoint that nobody asked for"
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "no public addresses"
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.ssh) == ["controller"] && length(aws_vpc_security_group_ingress_rule.ssh_from) == 0
    error_message = "the controller alone reaches instances"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["ec2", "ecr.api", "ecr.dkr", "logs", "ssm"])
    error_message = "what the controller and the agent call, and nothing else that is billed"
  }
  assert {
    condition     = length(aws_subnet.private) == 2 && aws_subnet.private[0].cidr_block == "10.83.0.0/26"
    error_message = "two zones"
  }
}

run "without_a_controller_only_passwords_are_reached" {
  command = plan
  variables {
    buckets    = ["acme-backups"]
    controller = false
    ssh_from   = ["10.20.0.0/16"]
  }
  assert {
    condition     = keys(aws_vpc_endpoint.interface) == ["ssm"] && length(aws_vpc_security_group_ingress_rule.ssh) == 0
    error_message = "ssm alone, and nobody but the VPN"
  }
  assert {
    condition     = output.controller == null
    error_message = "no place for a controller"
  }
}

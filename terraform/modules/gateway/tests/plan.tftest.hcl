# What must not be there, and what is refused: on the plan.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
}

variables {
  group        = "servers"
  repositories = { web = { bucket = "acme-backups", prefix = "web", location = "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/web" } }
  network      = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  sources      = { office = "203.0.113.0/24" }
  image        = { id = "ami-1", digest = "d", device = "/dev/xvda" }
}

run "hosts_come_from_named_networks_to_one_port_and_nobody_logs_in" {
  command = plan
  assert {
    condition     = [for rule in values(aws_vpc_security_group_ingress_rule.hosts) : [rule.cidr_ipv4, rule.from_port, rule.to_port]] == [["203.0.113.0/24", 8000, 8000]]
    error_message = "one rule a source, and no other"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.controller) == 0
    error_message = "nobody else"
  }
  assert {
    condition     = output.gateway.location == "s3:https://s3.eu-central-1.amazonaws.com/acme-backups"
    error_message = "the folder that the hosts' folders lie in"
  }
}

run "hosts_below_one_folder_are_served_from_there" {
  command = plan
  variables {
    repositories = { db = { bucket = "acme-backups", prefix = "servers/db", location = "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/servers/db" } }
    address      = "backup.example.com"
  }
  assert {
    condition     = output.gateway.location == "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/servers" && output.gateway.address == "backup.example.com"
    error_message = "the folder that the hosts' folders lie in"
  }
}

run "everybody_is_no_source" {
  command         = plan
  expect_failures = [var.sources]
  variables {
    sources = { all = "0.0.0.0/0" }
  }
}

run "a_user_is_its_folder" {
  command         = plan
  expect_failures = [var.repositories]
  variables {
    repositories = { web = { bucket = "acme-backups", prefix = "other", location = "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/other" } }
  }
}

run "one_gateway_serves_one_folder" {
  command         = plan
  expect_failures = [var.repositories]
  variables {
    repositories = {
      web = { bucket = "acme-backups", prefix = "web", location = "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/web" }
      db  = { bucket = "acme-backups", prefix = "servers/db", location = "s3:https://s3.eu-central-1.amazonaws.com/acme-backups/servers/db" }
    }
  }
}

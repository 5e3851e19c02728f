# Who may speak with whom: the controller with instances by SSH, both with S3 and the endpoints, and nobody with anybody else.

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${local.region}.s3"
}

resource "aws_security_group" "instances" {
  name        = "${var.name}-instances"
  description = "maintenance instances"
  vpc_id      = local.vpc_id
  tags        = var.tags
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "interface endpoints that instances and controller use"
  vpc_id      = local.vpc_id
  tags        = var.tags
}

resource "aws_security_group" "controller" {
  count       = var.controller ? 1 : 0
  name        = "${var.name}-controller"
  description = "the controller"
  vpc_id      = local.vpc_id
  tags        = var.tags
}

resource "aws_security_group" "connect" {
  count       = var.instance_connect_endpoint ? 1 : 0
  name        = "${var.name}-connect"
  description = "EC2 Instance Connect Endpoint"
  vpc_id      = local.vpc_id
  tags        = var.tags
}

locals {
  # Those that reach S3 and the endpoints, and those that reach instances by SSH.
  clients = merge({ instances = aws_security_group.instances.id }, var.controller ? { controller = aws_security_group.controller[0].id } : {})
  callers = merge(
    var.controller ? { controller = aws_security_group.controller[0].id } : {},
    var.instance_connect_endpoint ? { connect = aws_security_group.connect[0].id } : {},
  )
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each          = local.clients
  security_group_id = each.value
  description       = "S3"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  for_each                     = local.clients
  security_group_id            = each.value
  description                  = "interface endpoints"
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each                     = local.clients
  security_group_id            = aws_security_group.endpoints.id
  description                  = "from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "ssh" {
  for_each                     = local.callers
  security_group_id            = each.value
  description                  = "SSH to instances"
  referenced_security_group_id = aws_security_group.instances.id
  ip_protocol                  = "tcp"
  from_port                    = var.ssh_port
  to_port                      = var.ssh_port
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  # checkov:skip=CKV_AWS_24: from security groups alone, which checkov does not see
  for_each                     = local.callers
  security_group_id            = aws_security_group.instances.id
  description                  = "SSH from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = var.ssh_port
  to_port                      = var.ssh_port
}

resource "aws_vpc_security_group_ingress_rule" "ssh_from" {
  for_each          = toset(var.ssh_from)
  security_group_id = aws_security_group.instances.id
  description       = "SSH from a network of ours"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.ssh_port
  to_port           = var.ssh_port
}

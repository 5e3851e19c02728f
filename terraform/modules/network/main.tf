# Private subnets without any way to or from the internet: no NAT, no internet gateway. S3 by a gateway endpoint, the rest by interface endpoints.

# By name, whatever their state at the moment: a zone that fails must not move subnets.
data "aws_availability_zones" "all" {
  all_availability_zones = true
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  made       = var.existing == null
  zones      = slice(data.aws_availability_zones.all.names, 0, min(var.zones, length(data.aws_availability_zones.all.names)))
  vpc_id     = local.made ? aws_vpc.this[0].id : var.existing.vpc_id
  subnet_ids = local.made ? aws_subnet.private[*].id : var.existing.subnet_ids
  tables     = local.made ? [aws_route_table.private[0].id] : var.existing.route_table_ids
  region     = data.aws_region.current.name
  services   = setunion(var.interface_endpoints, var.controller ? ["ec2", "ecr.api", "ecr.dkr", "logs"] : [])
}

resource "aws_vpc" "this" {
  count                = local.made ? 1 : 0
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })
}

# Nothing lives in the default group: it lets nothing through.
resource "aws_default_security_group" "this" {
  count  = local.made ? 1 : 0
  vpc_id = aws_vpc.this[0].id
}

resource "aws_subnet" "private" {
  count             = local.made ? length(local.zones) : 0
  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr, 2, count.index)
  tags              = merge(var.tags, { Name = "${var.name}-${local.zones[count.index]}" })
}

resource "aws_route_table" "private" {
  count  = local.made ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_route_table_association" "private" {
  count          = local.made ? length(local.zones) : 0
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

data "aws_iam_policy_document" "s3" {
  statement {
    sid       = "OurBucketsAlone"
    actions   = ["s3:*"]
    resources = flatten([for bucket in var.buckets : ["arn:${data.aws_partition.current.partition}:s3:::${bucket}", "arn:${data.aws_partition.current.partition}:s3:::${bucket}/*"]])
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  # ECR keeps the layers of images there (ECR user guide, "Interface VPC endpoints").
  dynamic "statement" {
    for_each = var.controller ? [1] : []
    content {
      sid       = "LayersOfTheControllersImage"
      actions   = ["s3:GetObject"]
      resources = ["arn:${data.aws_partition.current.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"]
      principals {
        type        = "*"
        identifiers = ["*"]
      }
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  count             = local.made || try(length(var.existing.route_table_ids), 0) > 0 ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.tables
  policy            = data.aws_iam_policy_document.s3.json
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.services
  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.subnet_ids
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.value}" })
}

resource "aws_ec2_instance_connect_endpoint" "this" {
  count              = var.instance_connect_endpoint ? 1 : 0
  subnet_id          = local.subnet_ids[0]
  security_group_ids = [aws_security_group.connect[0].id]
  preserve_client_ip = false
  tags               = merge(var.tags, { Name = var.name })
}

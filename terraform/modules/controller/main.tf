# EventBridge Scheduler starts a Fargate task that calls maintainer run --once; what it says goes into a log group.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.name
  suffix    = data.aws_partition.current.dns_suffix
  owner     = "s3://${var.state.bucket}/${var.state.prefix}" # maintainer:owner of all that this configuration launches
  ec2       = "arn:${local.partition}:ec2:${local.region}:${local.account}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/maintainer/${var.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags
  setting {
    name  = "containerInsights"
    value = "disabled" # one task a day, whose own words are in the log group
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  task_role_arn            = aws_iam_role.controller.arn
  execution_role_arn       = aws_iam_role.execution.arn
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name                   = "controller"
    image                  = var.image
    essential              = true
    command                = ["run", "--once", "--json"]
    user                   = "1000"
    readonlyRootFilesystem = true
    stopTimeout            = 120 # it ends its instances before it goes
    environment            = [{ name = "MAINTAINER_TOML", value = var.maintainer_toml }]
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "run"
      }
    }
  }])
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  tags                      = var.tags
}

locals {
  schedules = merge(
    { (var.name) = { command = "run --once", when = var.schedule, input = null } },
    length(var.gateways) == 0 ? {} : {
      "${var.name}-gateways" = {
        command = "gateway recycle"
        when    = var.gateway_schedule
        input   = jsonencode({ containerOverrides = [{ name = "controller", command = ["gateway", "recycle", "--json"] }] })
      }
    },
  )
}

resource "aws_scheduler_schedule" "this" {
  for_each                     = local.schedules
  name                         = each.key
  description                  = "maintainer ${each.value.command}"
  schedule_expression          = each.value.when
  schedule_expression_timezone = var.timezone

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn
    input    = each.value.input

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.this.arn
      launch_type         = "FARGATE"
      task_count          = 1
      network_configuration {
        subnets          = var.network.subnet_ids
        security_groups  = var.network.security_group_ids
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }
}

resource "aws_iam_service_linked_role" "spot" {
  for_each         = var.spot_service_linked_roles ? toset(["spot", "ec2fleet"]) : []
  aws_service_name = "${each.value}.${local.suffix}"
}

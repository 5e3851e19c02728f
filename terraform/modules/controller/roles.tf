# Three roles: the controller's own, the one that starts its container, and the one by which the scheduler does so.

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.${local.suffix}"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "controller" {
  name               = "${var.name}-controller"
  path               = "/maintainer/"
  description        = "launches, finds and ends instances of ${local.owner}"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

# AWS: Actions, resources, and condition keys for Amazon EC2 (service authorization reference).
data "aws_iam_policy_document" "controller" {
  statement {
    sid = "Find"
    actions = [
      "ec2:DescribeImages",
      "ec2:DescribeInstances",
      "ec2:DescribeKeyPairs",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:DescribeLaunchTemplates",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSecurityGroupRules",
      "ec2:DescribeSpotPriceHistory",
      "ec2:DescribeVolumes",
      "pricing:GetProducts",
    ]
    resources = ["*"] # EC2 knows no narrower resource for these
  }

  statement {
    sid       = "LaunchAsItsOwn"
    actions   = ["ec2:CreateLaunchTemplate", "ec2:RunInstances"]
    resources = ["${local.ec2}:instance/*", "${local.ec2}:launch-template/*", "${local.ec2}:volume/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/maintainer:owner"
      values   = [local.owner]
    }
  }

  statement {
    sid     = "LaunchFrom"
    actions = ["ec2:CreateFleet", "ec2:RunInstances"]
    resources = concat(
      [for kind in ["fleet", "network-interface", "security-group", "spot-instances-request", "subnet"] : "${local.ec2}:${kind}/*"],
      ["arn:${local.partition}:ec2:${local.region}::image/*", "arn:${local.partition}:ec2:${local.region}::snapshot/*"],
    )
  }

  statement {
    sid       = "LaunchByItsOwnTemplate"
    actions   = ["ec2:CreateFleet", "ec2:DeleteLaunchTemplate", "ec2:RunInstances"]
    resources = ["${local.ec2}:launch-template/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/maintainer:owner"
      values   = [local.owner]
    }
  }

  statement {
    sid       = "TagWhatItLaunches"
    actions   = ["ec2:CreateTags"]
    resources = [for kind in ["instance", "launch-template", "network-interface", "volume"] : "${local.ec2}:${kind}/*"]
    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["CreateFleet", "CreateLaunchTemplate", "RunInstances"]
    }
  }

  statement {
    sid       = "EndItsOwn"
    actions   = ["ec2:GetConsoleOutput", "ec2:TerminateInstances"]
    resources = ["${local.ec2}:instance/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/maintainer:owner"
      values   = [local.owner]
    }
  }

  # What a launch that was cut off may leave beside its instance: maintainer sweep ends it.
  statement {
    sid       = "SweepItsOwn"
    actions   = ["ec2:DeleteKeyPair", "ec2:DeleteNetworkInterface", "ec2:DeleteVolume"]
    resources = [for kind in ["key-pair", "network-interface", "volume"] : "${local.ec2}:${kind}/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/maintainer:owner"
      values   = [local.owner]
    }
  }

  statement {
    sid       = "PassMaintenanceRoles"
    actions   = ["iam:PassRole"]
    resources = concat(var.maintenance_role_arns, var.gateways[*].role_arn)
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.${local.suffix}"]
    }
  }

  dynamic "statement" {
    for_each = length(var.gateways) == 0 ? [] : [1]
    content {
      sid       = "FindAddresses"
      actions   = ["ec2:DescribeAddresses"]
      resources = ["*"] # EC2 knows no narrower resource for it
    }
  }

  dynamic "statement" {
    for_each = length(var.gateways) == 0 ? [] : [1]
    content {
      sid       = "MoveGatewaysAddresses"
      actions   = ["ec2:AssociateAddress"]
      resources = [for one in var.gateways : "${local.ec2}:elastic-ip/${one.elastic_ip}"]
    }
  }

  dynamic "statement" {
    for_each = length(var.gateways) == 0 ? [] : [1]
    content {
      sid       = "ToItsOwnInstances"
      actions   = ["ec2:AssociateAddress"]
      resources = ["${local.ec2}:instance/*"]
      condition {
        test     = "StringEquals"
        variable = "aws:ResourceTag/maintainer:owner"
        values   = [local.owner]
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.gateways) == 0 ? [] : [1]
    content {
      sid       = "ByTheirInterfaces"
      actions   = ["ec2:AssociateAddress"]
      resources = ["${local.ec2}:network-interface/*"] # an instance's interface has none of its tags
    }
  }

  statement {
    sid       = "ReadState"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["arn:${local.partition}:s3:::${var.state.bucket}/${var.state.prefix}/*"]
  }

  statement {
    sid       = "KeepBills"
    actions   = ["s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::${var.state.bucket}/${var.state.prefix}/_bills/*"] # what month_budget is held against
  }

  statement {
    sid       = "ListState"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = ["arn:${local.partition}:s3:::${var.state.bucket}"]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.state.prefix}/*"]
    }
  }
}

resource "aws_iam_role_policy" "controller" {
  name   = "controller"
  role   = aws_iam_role.controller.name
  policy = data.aws_iam_policy_document.controller.json
}

resource "aws_iam_role_policies_exclusive" "controller" {
  role_name    = aws_iam_role.controller.name
  policy_names = [aws_iam_role_policy.controller.name]
}

resource "aws_iam_role_policy_attachments_exclusive" "controller" {
  role_name   = aws_iam_role.controller.name
  policy_arns = []
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  path               = "/maintainer/"
  description        = "fetches the controller's image and writes its log"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
  tags               = var.tags
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # ECR knows no narrower resource for it
  }

  statement {
    sid       = "FetchTheImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${local.partition}:ecr:*:*:repository/${regex("^(?:[^/]+/)?([^@:]+)", var.image)[0]}"]
  }

  statement {
    sid       = "WriteTheLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.name
  policy = data.aws_iam_policy_document.execution.json
}

data "aws_iam_policy_document" "scheduler_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.${local.suffix}"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  path               = "/maintainer/"
  description        = "starts the controller"
  assume_role_policy = data.aws_iam_policy_document.scheduler_trust.json
  tags               = var.tags
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "StartTheController"
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.this.arn_without_revision}:*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "PassItsRoles"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.controller.arn, aws_iam_role.execution.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.${local.suffix}"]
    }
  }

  statement {
    sid       = "KeepDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "scheduler"
  role   = aws_iam_role.scheduler.name
  policy = data.aws_iam_policy_document.scheduler.json
}

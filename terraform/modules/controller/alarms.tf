# Who is told, and of what: a repository that has not committed for days, new findings, and runs that never started.

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = toset(var.notify)
  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_log_metric_filter" "commits" {
  name           = "${var.name}-commits"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.event = \"run.committed\" }"
  metric_transformation {
    namespace  = "maintainer"
    name       = "${var.name}-commits"
    value      = "1"
    dimensions = { Repository = "$.repository" }
  }
}

# Silence is failure: where nothing was counted the alarm rises, whatever the reason.
resource "aws_cloudwatch_metric_alarm" "no_commit" {
  for_each            = toset(var.repositories)
  alarm_name          = "${var.name}-no-commit-${each.value}"
  alarm_description   = "No run has committed for ${each.value} for ${var.alarm_days} days. maintainer status says why; the log group ${aws_cloudwatch_log_group.this.name} says what happened."
  namespace           = "maintainer"
  metric_name         = "${var.name}-commits"
  dimensions          = { Repository = each.value }
  statistic           = "Sum"
  period              = 86400
  evaluation_periods  = var.alarm_days
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_log_metric_filter" "findings" {
  name           = "${var.name}-findings"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.event = \"finding.reported\" && $.standing = \"new\" }"
  metric_transformation {
    namespace = "maintainer"
    name      = "${var.name}-findings"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "findings" {
  alarm_name          = "${var.name}-findings"
  alarm_description   = "A run has new findings: somebody may have changed backups. maintainer status says what, and what to do."
  namespace           = "maintainer"
  metric_name         = "${var.name}-findings"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "The scheduler could not start the controller: the queue ${aws_sqs_queue.dead_letters.name} says why."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  tags                = var.tags
}

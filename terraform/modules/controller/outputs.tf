# What people need of it.

output "role_arn" {
  description = "The controller's role."
  value       = aws_iam_role.controller.arn
}

output "role_name" {
  description = "The controller's role, by name."
  value       = aws_iam_role.controller.name
}

output "log_group" {
  description = "Where the controller's words are: aws logs tail --follow NAME."
  value       = aws_cloudwatch_log_group.this.name
}

output "topic_arn" {
  description = "The topic of all alarms, for subscribers that are no e-mail address."
  value       = aws_sns_topic.this.arn
}

output "run_now" {
  description = "Starts a run outside the schedule."
  value = join(" ", [
    "aws ecs run-task --launch-type FARGATE --cluster ${aws_ecs_cluster.this.name} --task-definition ${aws_ecs_task_definition.this.family}",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", var.network.subnet_ids)}],securityGroups=[${join(",", var.network.security_group_ids)}]}'",
  ])
}

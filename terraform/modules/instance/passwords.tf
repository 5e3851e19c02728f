# The repositories' passwords: made here once, never in Terraform's state, and read by the group's role alone.

ephemeral "aws_secretsmanager_random_password" "this" {
  for_each            = var.repositories
  password_length     = 43 # 256 bits, of 62 characters
  exclude_punctuation = true
}

resource "aws_ssm_parameter" "password" {
  for_each         = var.repositories
  name             = "/maintainer/${var.group}/${each.key}"
  description      = "restic's password of repository ${each.key}"
  type             = "SecureString"
  key_id           = var.password_kms_key_arn
  value_wo         = ephemeral.aws_secretsmanager_random_password.this[each.key].random_password
  value_wo_version = 1
  tags             = var.tags

  lifecycle {
    # Without its password a repository is noise. See README.md, "Taking it down".
    prevent_destroy = true
  }
}

# Options of which no example makes use: on the plan. The policies' documents are the provider's real ones.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "111122223333" }
}

variables {
  bucket = "acme-backups"
  hosts  = { web = { principal_arn = "arn:aws:iam::111122223333:role/web" } }
}

run "a_host_with_a_role_of_its_own_is_bound_by_the_bucket_and_gets_no_user" {
  command = plan
  assert {
    condition     = length(aws_iam_user.host) == 0 && keys(output.host_policies) == ["web"]
    error_message = "no user, but the policy to attach"
  }
  assert {
    condition = alltrue([
      for one in jsondecode(data.aws_iam_policy_document.bucket.json).Statement :
      contains(one.Condition.ArnLike["aws:PrincipalArn"], "arn:aws:iam::111122223333:role/web") if startswith(one.Sid, "Hosts")
    ])
    error_message = "every denial of hosts names it"
  }
}

run "an_inventory_lists_every_version" {
  command = plan
  variables {
    inventory = { bucket_arn = "arn:aws:s3:::acme-inventory" }
  }
  assert {
    condition     = aws_s3_bucket_inventory.this[0].included_object_versions == "All" && aws_s3_bucket_inventory.this[0].schedule[0].frequency == "Daily"
    error_message = "versions are what counts"
  }
}

run "only_released_noncurrent_versions_expire" {
  command = plan
  variables {
    check_interval_days = 7
    response_days       = 30
    released_after_days = 60
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : length(rule.expiration) == 0])
    error_message = "nothing current expires"
  }
  assert {
    condition = jsonencode([
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule :
      {
        tag   = "${rule.filter[0].tag[0].key}=${rule.filter[0].tag[0].value}"
        days  = rule.noncurrent_version_expiration[0].noncurrent_days
        newer = rule.noncurrent_version_expiration[0].newer_noncurrent_versions
      } if length(rule.noncurrent_version_expiration) > 0
    ]) == jsonencode([{ tag = "maintainer=released", days = 60, newer = null }])
    error_message = "of noncurrent versions only those that a run has released, by age and never by number"
  }
}

# The configuration.

output "maintainer_toml" {
  description = "The text of maintainer.toml. It holds no secret."
  value = templatefile("${path.module}/maintainer.toml.tftpl", {
    region             = var.region
    profile            = var.s3_profile
    state              = var.state_location
    groups             = var.groups
    gateways           = var.gateways
    certificate        = var.gateway_certificate
    keep               = var.keep
    keep_by_repository = var.keep_by_repository
    expect             = var.expect
    keep_until         = var.keep_until
    probation_days     = var.probation_days
  })

  precondition {
    condition     = length(local.names) == length(distinct(local.names))
    error_message = "groups: two groups have a repository of the same name, and would share its part of the state store: ${join(", ", local.names)}."
  }
  precondition {
    condition     = length(setsubtract(keys(var.gateways), var.groups[*].name)) == 0
    error_message = "gateways: no group of this name: ${join(", ", setsubtract(keys(var.gateways), var.groups[*].name))}."
  }
  precondition {
    condition     = length(setsubtract(local.told_of, local.names)) == 0
    error_message = "expect, keep_by_repository, keep_until: no repository of this name: ${join(", ", setsubtract(local.told_of, local.names))}."
  }
}

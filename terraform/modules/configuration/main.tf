# maintainer.toml, from what the other modules made. It makes nothing itself.

terraform {
  required_version = ">= 1.11"
}

locals {
  names   = flatten([for group in var.groups : keys(group.repositories)])
  told_of = concat(keys(var.expect), keys(var.keep_by_repository), keys(var.keep_until))
}

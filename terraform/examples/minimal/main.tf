# One bucket, its state store, and one host.
module "repository" {
  source = "../../modules/repository"
  bucket = "acme-backups"
  hosts  = { web = {} }
}

module "state" {
  source             = "../../modules/state"
  bucket             = "acme-maintainer-state"
  repository_buckets = [module.repository.bucket]
}

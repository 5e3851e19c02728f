# Which image instances are launched from.

variable "id" {
  description = "The image, by its id: a name or \"latest\" could be another image tomorrow."
  type        = string
  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.id))
    error_message = "id: ${var.id} is no image's id, so it pins nothing. Take the id that aws ec2 create-image printed: ami-, and 8 to 17 hexadecimal digits."
  }
}

variable "digest" {
  description = "The digest of what was provisioned into it, as provision.sh printed it and the tag maintainer:digest says: the image itself must say the same."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.digest))
    error_message = "digest: 64 hexadecimal digits, as the image's tag maintainer:digest says: without it an image could be changed and keep its id in this configuration."
  }
}

variable "owner" {
  description = "Account that owns the image; this one where left out."
  type        = string
  default     = "self"
  validation {
    condition     = can(regex("^(self|[0-9]{12})$", var.owner))
    error_message = "owner: self, or an account's twelve digits: an image of anybody's is nobody's."
  }
}

variable "shared_with" {
  description = "Accounts that may launch the image too: those whose groups run in accounts of their own."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for account in var.shared_with : can(regex("^[0-9]{12}$", account))]) && (length(var.shared_with) == 0 || var.owner == "self")
    error_message = "shared_with: twelve digits each, and only for an image of this account's own."
  }
}

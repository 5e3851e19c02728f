# The pinned image: it exists, it is ours, it carries the digest, and who may launch it is written here.

data "aws_ami" "this" {
  owners = [var.owner]
  filter {
    name   = "image-id"
    values = [var.id]
  }

  lifecycle {
    postcondition {
      condition     = lookup(self.tags, "maintainer:digest", "") == var.digest
      error_message = "image ${var.id} carries digest ${lookup(self.tags, "maintainer:digest", "none")}, pinned is ${var.digest}. Find out who changed which; then pin the digest of the image that you trust."
    }
    postcondition {
      condition     = !self.public
      error_message = "image ${var.id} is public. Take it back (aws ec2 modify-image-attribute), and name who may launch it in shared_with."
    }
  }
}

resource "aws_ami_launch_permission" "this" {
  for_each   = toset(var.shared_with)
  image_id   = data.aws_ami.this.id
  account_id = each.value
}

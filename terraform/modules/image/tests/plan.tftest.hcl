# What an image may turn out to be: another than was pinned, or everybody's.

mock_provider "aws" {}

variables {
  id     = "ami-0123456789abcdef0"
  digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
}

run "the_pinned_image_is_shared_with_those_that_are_named" {
  command = plan
  variables {
    shared_with = ["111122223333"]
  }
  override_data {
    target = data.aws_ami.this
    values = {
      public = false
      tags   = { "maintainer:digest" = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
    }
  }
  assert {
    condition     = keys(aws_ami_launch_permission.this) == ["111122223333"]
    error_message = "those, and nobody else"
  }
}

run "an_image_with_another_digest_is_refused" {
  command = plan
  override_data {
    target = data.aws_ami.this
    values = {
      public = false
      tags   = { "maintainer:digest" = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" }
    }
  }
  expect_failures = [data.aws_ami.this]
}

run "a_public_image_is_refused" {
  command = plan
  override_data {
    target = data.aws_ami.this
    values = {
      public = true
      tags   = { "maintainer:digest" = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
    }
  }
  expect_failures = [data.aws_ami.this]
}

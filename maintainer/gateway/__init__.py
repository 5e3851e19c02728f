"""The gateway: an append-only server of restic's protocol before the bucket, for hosts that shall hold no key of it."""

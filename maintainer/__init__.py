"""Safe, unattended maintenance of restic repositories in versioned S3 buckets."""

__version__ = "0.1.0"

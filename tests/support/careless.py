"""The sandbox's endpoint, but one that ignores conditional puts, as many S3s did until 2024: run in its place."""

from __future__ import annotations

from ministack.services import s3

from maintainer.sandbox import endpoint


def main() -> None:
    """Serve until ended."""
    s3._check_put_preconditions = lambda _headers, _existing: None
    endpoint.main()


if __name__ == "__main__":
    main()

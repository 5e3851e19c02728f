"""The embedded default: an AWS endpoint on loopback, with access control and a clock that can be moved."""

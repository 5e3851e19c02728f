"""restic's files: decrypted and parsed by a reader of our own, bounded in time and memory; pure functions on bytes."""

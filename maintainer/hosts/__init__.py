"""A backup host's side: its credentials, its repositories, and the files that make it back up."""

"""The agent: runs where the repositories are read, one repository after the other."""

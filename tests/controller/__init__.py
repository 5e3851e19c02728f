"""Runs on instances of the sandbox."""

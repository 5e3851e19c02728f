"""Faults, made to happen."""

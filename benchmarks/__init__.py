"""Speed, shown by peers side by side in one run: `python -m benchmarks NAME [--json]`."""

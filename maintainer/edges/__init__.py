"""Foreign systems, one module each: translate their words and their errors."""

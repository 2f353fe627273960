"""A decoding step in one call of compiled code, where this package came with it and the processor can run it."""

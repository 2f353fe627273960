"""A decoding step in one call of compiled code, if it was built with this package and the CPU can run it."""

"""The HTTP API that Google's clients speak, and its extensions."""

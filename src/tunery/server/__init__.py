"""The HTTP API that Google's clients use, and its extensions."""

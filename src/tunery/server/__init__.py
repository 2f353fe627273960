"""The HTTP API that Google's clients speak, and its extensions: knows HTTP and JSON; no SQL, no tensors."""

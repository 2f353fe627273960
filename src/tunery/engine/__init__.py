"""Everything that knows tensors or data: no HTTP, no SQL, no users, no processes."""

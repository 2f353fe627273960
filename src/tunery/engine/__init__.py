"""Everything that works with tensors. HTTP, SQL, users and processes belong elsewhere."""

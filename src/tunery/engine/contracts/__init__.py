"""What the examples of a tuned model have in common: how its inputs look (prompt) and what its outputs are (output)."""

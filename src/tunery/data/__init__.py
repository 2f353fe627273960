"""From a user's file to checked examples: formats, encodings, columns, problems. No tensors, no tokenizer."""

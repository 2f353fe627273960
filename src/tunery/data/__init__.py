"""
Turns a user's file into checked examples: formats, encodings, columns, problems. Uses no tensors and no tokenizer.
"""

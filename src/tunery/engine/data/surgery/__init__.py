"""Data surgery: which rows of a dataset are doubtful, and a fixed copy. Losses are brought by the caller."""

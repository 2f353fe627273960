"""One module per step, numbered upwards."""

"""The adapted network and the packed pass through it: attention, linear layers, norms, loss. No files, no texts."""

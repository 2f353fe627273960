"""Child processes of the server: one tunes, one answers. A crash ends one of them, never the server."""

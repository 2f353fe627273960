"""What runs between commands or server and the engine: the library, its database, files, locks and processes."""

"""
The layer between the commands or the server and the engine: the library, its database, files, locks and processes.
"""

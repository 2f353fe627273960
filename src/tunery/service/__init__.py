"""
What stands between the user's doors and the engine: the library, its database, files and locks.

It knows SQL, files and processes; it knows no HTTP and no tensors.
"""

"""The command line: options, output and the commands themselves. The service and the engine do the work."""

"""The command line: options, output and the commands themselves; the work is done by the service and the engine."""

"""The command line: reads options, shows what happens; the work is done by service and engine."""

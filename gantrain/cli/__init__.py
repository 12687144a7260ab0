"""The command line: from arguments to a command that runs."""

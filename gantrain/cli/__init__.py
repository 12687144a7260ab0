"""The command line: parse the arguments, load the config, run the command."""

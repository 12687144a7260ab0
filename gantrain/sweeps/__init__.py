"""Many runs from one command: their names, checks, records, launchers and the table of results."""

"""Sweeps, many runs from one command: names, checks, records, launchers and the results table."""

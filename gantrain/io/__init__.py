"""Files: atomic writes, locks, downloads."""

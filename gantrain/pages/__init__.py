"""HTML pages: single files that load nothing from elsewhere."""

"""From composed YAML to checked, typed settings, without importing torch."""

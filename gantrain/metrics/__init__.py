"""Measures of generated images, one family a file, float64."""

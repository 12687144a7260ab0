"""Data sets: files, decoding, resizing, labels, order and batches of images."""

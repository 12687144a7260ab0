"""Augmentations of the discriminator's inputs (Karras et al. 2020, arXiv 2006.06676)."""

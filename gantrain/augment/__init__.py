"""Augmentations between the images and the discriminator (Karras et al. 2020)."""

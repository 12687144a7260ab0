"""StyleGAN2's networks (Karras et al. 2020): mapping, synthesis, discriminator, encoder."""

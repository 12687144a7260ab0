"""StyleGAN3's generator (Karras et al. 2021, arXiv 2106.12423): Fourier input, filtered layers."""

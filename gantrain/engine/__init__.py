"""What is the same for every GAN: loop, precision, optimizers, EMA, checkpoints, seeds."""

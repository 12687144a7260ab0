"""The parts that every GAN shares: loop, precision, optimizers, EMA, checkpoints, seeds."""

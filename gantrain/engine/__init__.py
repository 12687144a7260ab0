"""Everything that is the same for every GAN: loop, precision, optimisers, EMA, checkpoints, seeds."""

"""GANs as data plus losses; `base` is the contract, one file per family."""

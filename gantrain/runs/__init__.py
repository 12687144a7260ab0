"""The life of a training run: find it, resume it, watch it, finish it."""

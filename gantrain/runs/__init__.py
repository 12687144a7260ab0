"""The life cycle of a training run: create or find it, resume it, watch it, finish it."""

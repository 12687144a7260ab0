"""Inference with trained generators."""

"""What a person sees of a run: numbers, pictures, terminal, TensorBoard."""

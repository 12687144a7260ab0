"""Reports of a run: metrics, sample grids, terminal, TensorBoard."""

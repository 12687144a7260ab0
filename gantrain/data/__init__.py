"""Image sets: where pictures come from, in which order, and how they become uint8 arrays."""

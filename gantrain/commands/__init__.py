"""One thin module per command: `main(cfg) -> float | None`."""

"""Neural networks: single device, no config, no rank. Each remembers how it was built (`spec`)."""

"""Health of a training beyond its losses: signals of images and logits, and alarms on them."""

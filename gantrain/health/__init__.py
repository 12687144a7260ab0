"""How training goes beyond its losses: signals from pictures and logits, and rules about them."""

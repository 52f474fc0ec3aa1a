"""Commands: what a platform orders and asks of devices, and what came of it."""

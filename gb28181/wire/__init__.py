"""What leaves a simulated device, and what reaches it, bent by its habits."""

"""What a device is made of: head, cards, recorder, alarm inputs, configuration; its own state."""

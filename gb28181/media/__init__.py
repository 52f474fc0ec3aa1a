"""Media of sessions: receiving, relaying, sending, recording."""

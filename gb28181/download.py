"""Download."""

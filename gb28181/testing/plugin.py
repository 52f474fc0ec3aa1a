"""The pytest plug-in: fixtures for tests against simulated roles. It imports nothing early."""

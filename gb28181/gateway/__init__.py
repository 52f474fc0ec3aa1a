"""The gateway process: configuration, control socket and command line."""

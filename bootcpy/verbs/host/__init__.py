"""The commands that look at a host or change it."""

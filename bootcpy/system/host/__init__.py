"""The running host: its environment, units, messages."""

"""The commands `bootc image ...`."""

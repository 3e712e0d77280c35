"""The commands `bootc install ...`."""

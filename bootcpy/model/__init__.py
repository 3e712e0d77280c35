"""Data and pure functions: no input or output."""

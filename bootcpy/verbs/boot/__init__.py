"""What units run while a host boots."""

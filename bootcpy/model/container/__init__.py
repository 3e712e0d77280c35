"""What `container prepare` decides about an image."""

"""The tree of an image that is being built."""

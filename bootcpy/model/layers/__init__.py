"""Layers as data: tar members, paths, directories, and what is too much."""

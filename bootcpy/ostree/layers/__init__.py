"""Layers that become objects and commits."""

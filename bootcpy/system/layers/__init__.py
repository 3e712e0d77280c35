"""Layers as they flow: decompressed, read, filtered, sorted."""

"""Data that several rooms use: text that is safe to print, sizes, JSON, TOML, progress."""

"""Processes: running programs, forking, waiting, locks."""

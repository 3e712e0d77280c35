"""The repository: its objects, commits, refs, transactions."""

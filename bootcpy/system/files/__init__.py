"""Files: opening them below a root, writing them durably, mounting."""

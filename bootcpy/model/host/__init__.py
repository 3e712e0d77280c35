"""A running host: its deployments, what a command decides about them, what `status` says."""

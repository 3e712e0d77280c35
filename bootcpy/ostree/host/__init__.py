"""The deployments of a host: read, staged, ordered, cleaned up."""

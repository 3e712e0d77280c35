"""Where images come from: registries and stores by skopeo, the storage of podman."""

"""An installation: its configuration, its layout on the disk, its plan."""

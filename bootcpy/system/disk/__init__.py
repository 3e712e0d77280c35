"""Disks: what is on them, partitions, loop devices, file systems."""

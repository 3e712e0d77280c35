"""bootcpy: install and run bootable container images."""

__version__ = "0.1.0"

"""bootcpy: install and run bootable container images."""

__version__ = "0.2.0.dev0"

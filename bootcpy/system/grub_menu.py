"""The menu generator's entry point as images of before version 0.2 import it; keep it."""

from bootcpy.system.boot.grub_menu import main

__all__ = ["main"]

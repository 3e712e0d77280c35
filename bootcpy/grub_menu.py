"""The entry point of `/usr/lib/bootc/grub-menu` in images, by a name that stays.

Images that are installed import it while the machine shuts down, where a failure loses an
update: move what is behind it, never this.
"""

import sys

from bootcpy.system.boot.grub_menu import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())

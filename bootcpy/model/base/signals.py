"""The signals that ask the program to end."""

import signal
from typing import Final

# A child that was forked while they were blocked unblocks them.
ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

"""The signals that ask the program to end."""

import signal
from typing import Final

ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What may end the work of this process, the timer that raises once more what was swallowed with
# them. Blocked while a child is made that nobody owns yet; the child unblocks them.
INTERRUPTING_SIGNALS: Final = (*ENDING_SIGNALS, signal.SIGALRM)

"""`python -m bootcpy`."""

import sys

from bootcpy.cli.app import main

sys.exit(main())

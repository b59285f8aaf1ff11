"""Run the command line as ``python -m effcam``."""

import sys

from effcam.cli import main

sys.exit(main())

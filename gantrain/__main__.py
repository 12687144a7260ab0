"""Make `python -m gantrain` the same as `gantrain`."""

import sys

from gantrain.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())

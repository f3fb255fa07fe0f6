"""The command line from a checkout: the same program as the command ``lightning-inpaint``."""

import sys

from lightning_inpaint.commands import main

if __name__ == "__main__":
    sys.exit(main())

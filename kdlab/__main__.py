"""Entry of ``python -m kdlab``."""

import sys

from kdlab.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m bench.loop``: see ``run``."""

import sys

from .run import main

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

"""``python -m training.gan``: the same as ``python -m training gan``."""

from __future__ import annotations

import sys

from training.gan.command import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m proof_pile.quality`."""

from __future__ import annotations

import sys

from proof_pile.quality.cli import main

if __name__ == "__main__":
    sys.exit(main())

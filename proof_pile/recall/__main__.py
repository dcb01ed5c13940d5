"""`python -m proof_pile.recall`."""

from __future__ import annotations

import sys

from proof_pile.recall.cli import main

if __name__ == "__main__":
    sys.exit(main())

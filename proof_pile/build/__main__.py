"""`python -m proof_pile.build`."""

from __future__ import annotations

import sys

from proof_pile.build.cli import main

if __name__ == "__main__":
    sys.exit(main())

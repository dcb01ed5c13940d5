"""`python -m llemma`."""

from llemma.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m eval_tasks`."""

from __future__ import annotations

import sys

from eval_tasks.cli import main

sys.exit(main())

"""The built-in sample corpus: the recipe `recipe.yml`, its documents, and PLANNED.json.

What a build must find in them.
"""

from __future__ import annotations

from pathlib import Path

RECIPE = Path(__file__).parent / "recipe.yml"
PLANNED = Path(__file__).parent / "PLANNED.json"

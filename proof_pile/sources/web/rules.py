"""The settings of page extraction that a recipe may change."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config


class PageRules(Config):
    """What counts as content on a page.  Published values are OpenWebMath's, the others were chosen by us."""

    max_links: int = Field(default=3000, ge=0, description="a page with more is a catalogue (OpenWebMath)")
    max_link_density: float = Field(default=0.8, ge=0, le=1, description="of a block's characters (OpenWebMath)")
    min_judged_links: int = Field(default=3, ge=1, description="fewer links do not make a block a list of links")
    min_table_rows: int = Field(default=2, ge=1, description="a smaller table becomes plain lines (OpenWebMath)")
    min_table_columns: int = Field(default=3, ge=1, description="likewise (OpenWebMath)")
    max_table_cell_chars: int = Field(default=400, ge=1, description="a longer cell makes the table a layout")
    max_formula_chars: int = Field(default=20_000, ge=100, description="a longer one is taken as text")
    max_nesting: int = Field(default=3000, ge=100, description="elements inside one another")
    comments: Literal["keep", "drop"] = "keep"
    boilerplate_lines: bool = Field(default=True, description="drop short lines such as 'Share this page'")


DEFAULT_RULES = PageRules()

"""What a recipe says of TeX papers, whatever they come in: kinds `latex` and `arxiv` share these settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig


class TexConfig(BaseConfig):
    """How a paper becomes text.

    mode              scan: ours; redpajama: the published rules of RedPajama's arXiv part, faults and all, to compare
    macros            expand the paper's own macros, only those without arguments (arguments-free), or leave them all
    bibliography      drop the list of references and the commands that make it, keep them, or inline the .bbl file too
    appendix          keep it, or cut the text where it begins
    front             title: title and abstract stay, authors, addresses and dates go; keep: all stays; drop: only the
                      abstract stays
    drawings          keep TikZ, picture and PostScript blocks, drop them, or drop those longer than max_drawing_bytes
    acknowledgements  keep or drop sections of that name
    mains             each: every file that can be set alone and that no other reads in is a document; first: only the
                      main one
    """

    mode: Literal["scan", "redpajama"] = "scan"
    macros: Literal["expand", "leave", "arguments-free"] = "expand"
    bibliography: Literal["drop", "keep", "inline"] = "drop"
    appendix: Literal["keep", "cut"] = "keep"
    front: Literal["title", "keep", "drop"] = "title"
    drawings: Literal["keep", "drop-long", "drop"] = "drop-long"
    max_drawing_bytes: int = Field(default=8000, ge=0, description="chosen by us: no diagram by hand is longer")
    acknowledgements: Literal["keep", "drop"] = "keep"
    mains: Literal["each", "first"] = "each"
    max_paper_bytes: int = Field(default=20_000_000, ge=1, description="all TeX of one paper, after decompression")
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)

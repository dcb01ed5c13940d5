"""Keeps files by the ends of their names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

PRESETS: dict[str, tuple[str, ...]] = {
    # RedPajama-Data, branch rp_v1, data_prep/github/github_run_filter.py; upper and lower case are told apart there
    "redpajama-github": (
        ".asm", ".bat", ".cmd", ".c", ".h", ".cs", ".cpp", ".hpp", ".c++", ".h++", ".cc", ".hh", ".C", ".H", ".cmake",
        ".css", ".dockerfile", ".f90", ".f", ".f03", ".f08", ".f77", ".f95", ".for", ".fpp", ".go", ".hs", ".html",
        ".java", ".js", ".jl", ".lua", ".md", ".markdown", ".php", ".php3", ".php4", ".php5", ".phps", ".phpt", ".pl",
        ".pm", ".pod", ".perl", ".ps1", ".psd1", ".psm1", ".py", ".rb", ".rs", ".sql", ".scala", ".sh", ".bash",
        ".command", ".zsh", ".ts", ".tsx", ".tex", ".vb", "Dockerfile", "Makefile", ".xml", ".rst", ".m", ".smali",
    ),
}  # fmt: skip


class Config(BaseConfig):
    """Ends of the path (meta.path, or the name): those wanted, named or of a preset, and those not wanted."""

    kind: Literal["path-endings"]
    preset: Literal["redpajama-github"] | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = Field(default=(), description="asked first, so that an exception can be made")


def make(config: Config) -> Filter:
    """Reason: path-ending."""
    wanted = config.keep + (PRESETS[config.preset] if config.preset else ())

    def judge(document: Document) -> Verdict:
        path = str(document.meta.get("path") or document.name)
        if config.drop and path.endswith(config.drop):
            return Drop("path-ending")
        return Keep(document) if not wanted or path.endswith(wanted) else Drop("path-ending")

    return judge

r"""LaTeX papers: a folder or an archive (.tar.gz, .tgz, .tar, .zip, .gz) each, or a lone .tex file.

A paper becomes one document: comments gone, \input resolved within the paper, the author's macros expanded, preamble
and bibliography cut, title and abstract kept (proof_pile/sources/tex).  A file of its own beside the main one
(\documentclass and \begin{document}, and no other file reads it in) becomes a document too, "<paper>/<file>": a
supplement, a chapter that can be set alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, read_bounded, readable_name, walk
from proof_pile.sources.tex.config import TexConfig

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip", ".gz")
TEX = (".tex", ".ltx", ".latex")
# What a paper's text may be in or depend on, beside TEX.
PARTS = (".sty", ".cls", ".bbl", ".tikz", ".pgf", ".inc", ".mac", ".macros", ".def", "00readme.xxx", "00readme.json")


class Config(TexConfig):
    """A folder of papers: sub-folders, archives or lone .tex files, each one paper."""

    kind: Literal["latex"]
    path: str


def list_files(config: Any, base: Path) -> list[SourceFile]:
    """The papers that the section names, each with all its TeX files."""
    if is_remote(config.path):
        return list_inputs(config.path, base, ARCHIVES + TEX, wanted="LaTeX papers")
    root = Path(config.path).expanduser()
    root = root if root.is_absolute() else base / root
    if not root.is_dir():
        return list_inputs(config.path, base, ARCHIVES + TEX, wanted="LaTeX papers")
    papers = []
    for entry in sorted(root.iterdir(), key=lambda p: p.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            members = list(walk(entry, TEX + PARTS))
            if any(name.lower().endswith(TEX) for name, _, _ in members):
                size = sum(size for _, _, size in members)
                papers.append(
                    SourceFile(name=readable_name(entry.name), paths=tuple(str(p) for _, p, _ in members), size=size)
                )
        elif entry.is_file() and entry.name.lower().endswith(ARCHIVES + TEX):
            papers.append(
                SourceFile(name=paper_name(readable_name(entry.name)), paths=(str(entry),), size=entry.stat().st_size)
            )
    if not papers:
        raise InputError(f"{root}: holds no LaTeX papers (folders with .tex files, archives, .tex files)")
    return papers


def paper_name(file_name: str) -> str:
    """The name of the paper in a file: its name without the endings of archives and TeX."""
    for ending in (*ARCHIVES, *TEX):
        if file_name.lower().endswith(ending):
            return file_name[: -len(ending)]
    return file_name


def read(config: Any, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of a paper, and the parts of it that could not be read."""
    from proof_pile.sources.tex.paper import paper_documents

    try:
        raw, problems, _ = read_raw(config, file)
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
        return
    yield from (Quarantined(path=file.name, member=member, reason=reason) for member, reason in problems)
    if raw or not problems:
        yield from paper_documents(raw, config, source=source, name=file.name, meta={})


def read_raw(config: Any, file: SourceFile) -> tuple[dict[str, bytes], list[tuple[str | None, str]], int]:
    """The files of a paper by path, what could not be read, and the time of its last change where an archive tells it.

    Raises OSError where a file cannot be read.
    """
    path = file.paths[0]
    if len(file.paths) == 1 and path.lower().endswith(ARCHIVES):
        from proof_pile.sources.submissions import Limits, read_submission

        limits = Limits(max_member_bytes=min(config.max_paper_bytes, 10_000_000))
        found = read_submission(path, TEX + PARTS, limits)
        return found.files, found.problems, found.timestamp
    # The paths of a folder share it as their prefix; a paper's own \input knows nothing above it.
    root = posixpath.commonpath([posixpath.dirname(p) for p in file.paths])
    files, problems = {}, list[tuple[str | None, str]]()
    for name in file.paths:
        data = read_bounded(name, config.max_paper_bytes)
        if data is None:
            problems.append((posixpath.relpath(name, root), f"file longer than {config.max_paper_bytes} bytes"))
        else:
            files[posixpath.relpath(name, root)] = data
    return files, problems, 0

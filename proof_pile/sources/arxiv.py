r"""arXiv's source archives: its bulk tars (arXiv_src_YYMM_NNN.tar, a .gz or .pdf a paper) and single papers.

In a bulk tar each YYMM/<id>.gz is a paper: one TeX file or a tar, gzipped.  PDF-only papers (.pdf) are passed over.
A paper that is damaged is quarantined with its member's name, and the next one is read; of the tar itself no more than
one paper is in memory.  Folders may hold bulk tars, papers (.gz, .tar.gz, .zip) and papers' folders side by side.

Metadata: arxiv_id, yymm, url, timestamp (UTC, of the member or its newest TeX file), main, title, abstract (whether
there is one), macros_expanded, encodings where not all files are UTF-8, missing_inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import latex
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, open_input, readable_name, walk
from proof_pile.sources.streams import BrokenStreamError, read_chunks
from proof_pile.sources.tex.config import TexConfig

_NEW = re.compile(r"(\d{4}\.\d{4,5})(?:v\d{1,3})?")
_OLD = re.compile(r"([a-z][a-z-]*(?:\.[A-Z]{2})?)[_/]?(\d{7})(?:v\d{1,3})?")
_MAX_BULK_MEMBERS = 1_000_000


class Config(TexConfig):
    """A bulk tar, a folder, a glob or a URL of arXiv sources."""

    kind: Literal["arxiv"]
    path: str


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The bulk tars and papers that the section names."""
    wanted = "arXiv sources (.tar, .tar.gz, .gz, .zip, folders with .tex files)"
    root = Path(config.path).expanduser()
    root = root if root.is_absolute() else base / root
    if is_remote(config.path) or not root.is_dir():
        return list_inputs(config.path, base, latex.ARCHIVES, wanted=wanted)
    found: list[SourceFile] = []
    for entry in sorted(root.iterdir(), key=lambda p: p.name):
        if entry.name.startswith("."):
            continue
        if entry.is_file() and entry.name.lower().endswith(latex.ARCHIVES):
            found.append(SourceFile(name=readable_name(entry.name), paths=(str(entry),), size=entry.stat().st_size))
        elif entry.is_dir() and not entry.is_symlink():
            members = list(walk(entry, latex.TEX + latex.PARTS))
            if any(name.lower().endswith(latex.TEX) for name, _, _ in members):
                size = sum(size for _, _, size in members)
                paths = tuple(str(p) for _, p, _ in members)
                found.append(SourceFile(name=readable_name(entry.name), paths=paths, size=size))
            else:
                archives = walk(entry, latex.ARCHIVES)
                found += [
                    SourceFile(name=f"{readable_name(entry.name)}/{name}", paths=(str(p),), size=size)
                    for name, p, size in archives
                ]
    if not found:
        raise InputError(f"{root}: holds no {wanted}")
    return found


def arxiv_id(stem: str) -> str | None:
    """The id in the name of a paper's file ("2101.00001", "math0001001" is "math/0001001"), None where it has none."""
    new = _NEW.fullmatch(stem)
    if new:
        return new[1]
    old = _OLD.fullmatch(stem)
    return f"{old[1]}/{old[2]}" if old else None


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of a bulk tar or of a single paper."""
    if len(file.paths) == 1 and file.paths[0].lower().endswith(".tar"):
        yield from _read_bulk(config, file, source)
        return
    try:
        raw, problems, timestamp = latex.read_raw(config, file)
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
        return
    yield from (Quarantined(path=file.name, member=member, reason=reason) for member, reason in problems)
    name = latex.paper_name(file.name).rsplit("/", 1)[-1]
    if raw or not problems:
        yield from _paper(config, raw, source, file.name, name, timestamp)


def _paper(
    config: Config, raw: dict[str, bytes], source: str, place: str, stem: str, timestamp: int
) -> Iterator[Document | Quarantined]:
    """The documents of one paper; what is quarantined is placed at its member."""
    from proof_pile.sources.tex.paper import paper_documents

    identity = arxiv_id(stem)
    meta: dict[str, Any] = {}
    if identity:
        digits = identity.rsplit("/", 1)[-1]
        meta = {"arxiv_id": identity, "yymm": digits[:4], "url": f"https://arxiv.org/abs/{identity}"}
    if 0 < timestamp < 1 << 33:
        meta["timestamp"] = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    raw = {path: data for path, data in raw.items() if not path.startswith("anc/")}  # ancillary files, no text
    for record in paper_documents(raw, config, source=source, name=identity or stem, meta=meta):
        if isinstance(record, Quarantined):
            member = stem if place != stem else None
            member = "/".join(part for part in (member, record.member) if part) or None
            record = Quarantined(path=place, member=member, reason=record.reason, excerpt=record.excerpt)
        yield record


def _read_bulk(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    r"""The papers of a tar: its members named as papers are, or else all its TeX files as one paper."""
    from proof_pile.sources.submissions import (
        Limits,
        Stream,
        member_stem,
        read_submission,
        safe_member_path,
        tar_members,
    )

    limits = Limits(max_member_bytes=min(config.max_paper_bytes, 10_000_000))
    endings = latex.TEX + latex.PARTS
    loose: dict[str, bytes] = {}
    loose_bytes, num_refused, timestamp = 0, 0, 0
    try:
        with open_input(file.paths[0]) as handle:
            for found in tar_members(Stream(read_chunks(handle, file.paths[0])), _MAX_BULK_MEMBERS):
                if isinstance(found, str):
                    num_refused += 1
                    if num_refused <= 100:
                        yield Quarantined(path=file.name, reason=found)
                    continue
                member, content = found
                lower = member.name.lower()
                stem = member_stem(member.name)
                if lower.endswith(".gz") and arxiv_id(stem) is not None:
                    if member.kind != "file" or member.size > limits.max_packed_bytes:
                        reason = (
                            "member is a link or a device"
                            if member.kind != "file"
                            else (f"member longer than {limits.max_packed_bytes} bytes")
                        )
                        yield Quarantined(path=file.name, member=readable_name(member.name)[:200], reason=reason)
                        continue
                    data = content.read(member.size)
                    if len(data) < member.size:
                        continue  # told of by the next round
                    submission = read_submission("paper.gz", endings, limits, data)
                    del data
                    for inner, reason in submission.problems:
                        place = f"{stem}/{inner}" if inner else stem
                        yield Quarantined(path=file.name, member=place, reason=reason)
                    if submission.files or not submission.problems:
                        yield from _paper(config, submission.files, source, file.name, stem, member.timestamp)
                elif lower.endswith(endings):
                    path = safe_member_path(member.name)
                    bad = path is None or member.kind != "file" or member.size > limits.max_member_bytes
                    if bad or loose_bytes + member.size > config.max_paper_bytes:
                        num_refused += 1
                        if num_refused <= 100:
                            reason = (
                                "member path leaves the archive" if path is None
                                else "member is a link or a device" if member.kind != "file"
                                else "member too long"
                            )  # fmt: skip
                            yield Quarantined(path=file.name, member=readable_name(member.name)[:200], reason=reason)
                        continue
                    assert path is not None
                    loose[path] = content.read(member.size)
                    loose_bytes += member.size
                    timestamp = max(timestamp, member.timestamp)
    except BrokenStreamError as error:
        yield Quarantined(path=file.name, reason=str(error))
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
    if loose:
        yield from _paper(config, loose, source, file.name, latex.paper_name(file.name).rsplit("/", 1)[-1], timestamp)

r"""LaTeX papers: a folder or an archive (.tar.gz, .tgz, .tar, .gz) each, or a lone .tex file.

A paper becomes one document: comments gone, \input resolved within the paper, the author's macros expanded,
preamble and bibliography cut, title and abstract kept.  A file of its own beside the main one (\documentclass and
\begin{document}, and no other file reads it in) becomes a document too, "<paper>/<file>": a supplement, a chapter that
can be set alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.archives import ArchiveLimits, read_archive
from proof_pile.sources.inputs import SourceFile, is_remote, list_inputs, open_input, read_bounded, readable_name, walk
from proof_pile.sources.streams import BrokenStreamError, read_chunks
from proof_pile.sources.tex_macros import Expander, MacroLimits
from proof_pile.sources.tex_scanner import read_group, remove_comments, skip_space, split_verbatim

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".gz")
TEX = (".tex", ".ltx", ".latex")

_INPUT = re.compile(r"\\(?:input|include|subfile)\s*\{([^{}\n]{1,300})\}|\\input[ \t]+([^\s{}\\%]{1,300})")
_ENCODING = re.compile(r"\\usepackage\s*\[([a-z0-9]+)\]\s*\{inputenc\}")
_BIBLIOGRAPHY = re.compile(
    r"\\begin\s*\{(thebibliography|references|REFERENCES|biblist)\}.*?(?:\\end\s*\{\1\}|\Z)", re.DOTALL
)
_CUT_COMMANDS = re.compile(
    r"\\(?:bibliographystyle|bibliography|addbibresource|printbibliography|maketitle|tableofcontents|listoffigures|"
    r"listoftables|makeatletter|makeatother|clearpage|newpage|pagestyle|thispagestyle|date|address|email|affiliation|"
    r"institute|author|thanks|keywords|subjclass|urladdr|curraddr|dedicatory)(?![a-zA-Z])[*]?"
)
_CODECS = {"latin1": "latin-1", "ansinew": "cp1252", "cp1252": "cp1252", "latin9": "iso8859-15", "latin2": "iso8859-2",
           "cp1250": "cp1250", "cp1251": "cp1251", "koi8-r": "koi8-r", "applemac": "mac-roman"}  # fmt: skip


class Config(BaseConfig):
    """A folder of papers: sub-folders, archives or lone .tex files, each one paper."""

    kind: Literal["latex"]
    path: str
    appendix: Literal["keep", "cut"] = "keep"
    max_paper_bytes: int = Field(default=20_000_000, ge=1, description="all TeX of one paper, after decompression")
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)


@dataclass(slots=True)
class _Paper:
    """The TeX files of one paper by path, decoded and without comments, and what was noticed on the way."""

    files: dict[str, str] = field(default_factory=dict)
    encodings: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


def list_files(config: Config, base: Path) -> list[SourceFile]:
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
            members = list(walk(entry, TEX))
            if members:
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


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The one document of a paper, and the parts of it that could not be read."""
    try:
        raw, problems = _read_raw(config, file)
    except OSError as error:
        yield Quarantined(path=file.name, reason=f"unreadable: {error.strerror or error}")
        return
    yield from (Quarantined(path=file.name, member=member, reason=reason) for member, reason in problems)
    if sum(map(len, raw.values())) > config.max_paper_bytes:
        yield Quarantined(path=file.name, reason=f"paper longer than {config.max_paper_bytes} bytes")
        return
    paper = _Paper()
    for path, data in sorted(raw.items()):
        if b"\0" in data:
            yield Quarantined(path=file.name, member=path, reason="binary data", excerpt=excerpt(data))
            continue
        text, encoding = decode_tex(data)
        paper.files[path] = remove_comments(text.replace("\r\n", "\n").replace("\r", "\n"))
        paper.encodings.add(encoding)
    main = find_main_file(paper.files)
    if main is None:
        if not problems:
            reason = "no main file: no TeX file has \\documentclass or a section" if raw else "no TeX source"
            yield Quarantined(path=file.name, reason=reason)
        return
    others = [path for path in paper.files if path != main and stands_alone(paper.files[path], paper.files[main])]
    for path in (main, *others):
        if path in paper.used:
            continue
        text, meta = _paper_text(paper, path, config)
        if not text.strip():
            yield Quarantined(path=file.name, member=path, reason="no text between \\begin{document} and its end")
            continue
        name = file.name if path == main else f"{file.name}/{path}"
        yield make_document(source, name, text, {"language": "tex", **meta, **config.meta})


def _read_raw(config: Config, file: SourceFile) -> tuple[dict[str, bytes], list[tuple[str | None, str]]]:
    path = file.paths[0]
    if path.lower().endswith((".tar", ".tar.gz", ".tgz")):
        archive = read_archive(path, TEX, ArchiveLimits())
        return archive.members, archive.problems
    if path.lower().endswith(".gz"):
        return _read_lone_gzip(path, config.max_paper_bytes)
    # The paths of a folder share it as their prefix; a paper's own \input knows nothing above it.
    root = posixpath.commonpath([posixpath.dirname(p) for p in file.paths])
    files, problems = {}, list[tuple[str | None, str]]()
    for name in file.paths:
        data = read_bounded(name, config.max_paper_bytes)
        if data is None:
            problems.append((posixpath.relpath(name, root), f"file longer than {config.max_paper_bytes} bytes"))
        else:
            files[posixpath.relpath(name, root)] = data
    return files, problems


def _read_lone_gzip(path: str, max_bytes: int) -> tuple[dict[str, bytes], list[tuple[str | None, str]]]:
    data = b""
    with open_input(path) as handle:
        try:
            for chunk in read_chunks(handle, path):
                data += chunk
                if len(data) > max_bytes:
                    return {}, [(None, f"paper longer than {max_bytes} bytes")]
        except BrokenStreamError as error:
            return {}, [(None, str(error))]
    if data[257:262] == b"ustar":  # a tar without the ending that says so
        archive = read_archive(path, TEX, ArchiveLimits())
        return archive.members, archive.problems
    return {"main.tex": data}, []


def decode_tex(data: bytes) -> tuple[str, str]:
    """The file as text and the encoding used: UTF-8, else what inputenc declares, else windows-1252 or latin-1."""
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    latin = data.decode("latin-1")
    declared = _ENCODING.search(latin)
    for codec in (_CODECS.get(declared[1], "cp1252") if declared else "cp1252", "latin-1"):
        try:
            return data.decode(codec), codec
        except UnicodeDecodeError:
            continue
    return latin, "latin-1"


def find_main_file(files: dict[str, str]) -> str | None:
    r"""The file that the paper begins with: \documentclass and \begin{document}.

    Then the usual names, then the longest.
    """

    def rank(path: str) -> tuple[bool, bool, bool, int, str]:
        text = files[path]
        stem = posixpath.basename(path).rsplit(".", 1)[0].lower()
        has_class = "\\documentclass" in text or "\\documentstyle" in text
        return has_class, "\\begin{document}" in text, stem in ("main", "ms", "paper", "article"), len(text), path

    ranked = sorted(files, key=rank, reverse=True)
    if not ranked:
        return None
    best = files[ranked[0]]
    starts = ("\\documentclass", "\\documentstyle", "\\begin{document}", "\\section", "\\chapter", "\\documentstyle")
    return ranked[0] if any(mark in best for mark in starts) else None


def stands_alone(text: str, main: str) -> bool:
    r"""Whether a file beside the main one can be read without it: as a document, or where the main one is none either.

    Chapters without a \documentclass, in a folder whose main file has none, are such.
    """
    if "\\documentclass" in main or "\\begin{document}" in main:
        return "\\documentclass" in text and "\\begin{document}" in text
    return "\\section" in text or "\\chapter" in text


def resolve_inputs(files: dict[str, str], main: str, missing: list[str], used: set[str], max_chars: int) -> str:
    r"""The main file with each \input and \include replaced by the named file; `used` takes the files it is made of.

    Loops and unknown names become nothing.
    """
    budget = max_chars

    def resolve(path: str, active: tuple[str, ...]) -> str:
        nonlocal budget
        used.add(path)
        out = []
        for verbatim, piece in split_verbatim(files[path]):
            out.append(piece if verbatim else _INPUT.sub(lambda m: include(m, path, (*active, path)), piece))
        text = "".join(out)
        budget -= len(text)
        return text

    def include(match: re.Match[str], where: str, active: tuple[str, ...]) -> str:
        name = (match[1] or match[2]).strip().strip('"')
        found = _find_input(files, name, where)
        if found is None or found in active or len(active) > 20 or budget < 0:
            if found is None:
                missing.append(name)
            return ""
        return resolve(found, active)

    return resolve(main, ())


def _find_input(files: dict[str, str], name: str, where: str) -> str | None:
    for folder in ("", posixpath.dirname(where)):
        path = posixpath.normpath(posixpath.join(folder, name))
        for candidate in (path, *(path + ending for ending in TEX)):
            if candidate in files:
                return candidate
    return None


def _paper_text(paper: _Paper, main: str, config: Config) -> tuple[str, dict[str, Any]]:
    missing: list[str] = []
    whole = resolve_inputs(paper.files, main, missing, paper.used, config.max_paper_bytes)
    expander = Expander(limits=MacroLimits())
    preamble, begin, rest = whole.partition("\\begin{document}")
    if not begin:
        preamble, rest = "", whole
    preamble = expander.expand(preamble)
    body = rest.partition("\\end{document}")[0]
    body = expander.expand(body)
    if config.appendix == "cut":
        body = re.split(r"\\appendix(?![a-zA-Z])|\\begin\s*\{appendix\}", body)[0]
    body = _BIBLIOGRAPHY.sub("", body)
    title = _command_argument(preamble, "title") or _command_argument(body, "title")
    head = []
    if title and "\\title" not in body:
        head.append(f"\\title{{{title.strip()}}}")
    start, end = preamble.find("\\begin{abstract}"), preamble.find("\\end{abstract}")
    if 0 <= start < end:
        head.append(preamble[start : end + len("\\end{abstract}")])
    elif "\\begin{abstract}" not in body and (inner := _command_argument(preamble + body, "abstract")):
        head.append(f"\\begin{{abstract}}\n{inner.strip()}\n\\end{{abstract}}")
        body = _without_commands(body, re.compile(r"\\abstract(?![a-zA-Z])"))
    body = _without_commands(body, _CUT_COMMANDS)
    text = "\n\n".join([*head, body.strip()])
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    meta: dict[str, Any] = {"title": " ".join((title or "").split())[:500], "main": main}
    if paper.encodings - {"utf-8"}:
        meta["encodings"] = sorted(paper.encodings)
    if missing:
        meta["missing_inputs"] = missing[:20]
    if expander.stopped:
        meta["macro_limit"] = expander.stopped
    return text, meta


def _command_argument(text: str, command: str) -> str | None:
    match = re.search(rf"\\{command}(?![a-zA-Z])\s*(?:\[[^\]]{{0,500}}\])?\s*(?=\{{)", text)
    group = read_group(text, match.end()) if match else None
    return group[0] if group else None


def _without_commands(text: str, commands: re.Pattern[str]) -> str:
    """The text outside verbatim parts without these commands and the groups that follow them directly."""
    out = []
    num_unclosed = 0  # each costs a search for its end: a text full of them is no paper
    for verbatim, piece in split_verbatim(text):
        if verbatim:
            out.append(piece)
            continue
        start = position = 0
        while (match := commands.search(piece, position)) is not None:
            out.append(piece[start : match.start()])
            position = match.end()
            optional = re.compile(r"\s*\[[^\]]{0,500}\]").match(piece, position)
            position = optional.end() if optional else position
            while num_unclosed < 50 and piece.startswith("{", after := skip_space(piece, position)):
                group = read_group(piece, after)
                if group is None:
                    num_unclosed += 1
                    break
                position = group[1]
            start = position
        out.append(piece[start:])
    return "".join(out)

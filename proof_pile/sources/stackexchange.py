"""Questions of Stack Exchange with their answers, from the data dump (Posts.xml) or RedPajama's pairs (JSON lines).

A document is a question and its answers, the best first:

    Q: <title>

    <question>

    A: <answer>

    A: <answer>

The form is RedPajama's (rp_v1, data_prep/stack_exchange), with paragraphs where it has single spaces, and with answers
in the order of their scores as numbers: there they were sorted as strings, so that 9 came before 10.  Equal scores
stand in order of their ids.  Posts are HTML and become text with their equations kept (proof_pile.sources.html_text).

Posts.xml has one <row .../> a line, and is read as such: attributes of one line at a time, the five entities of XML and
character numbers and no others, nothing declared in the file is followed.  Answers may stand anywhere before or after
their question, so posts are laid aside by question: in memory, or in temporary files where there are more than
PART_BYTES of them, of which one is read at a time.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined, excerpt, make_document
from proof_pile.sources.inputs import SourceFile, list_inputs, open_input
from proof_pile.sources.streams import BrokenStreamError, read_chunks, read_lines

SUFFIXES = tuple(f"{ending}{packed}" for ending in ("posts.xml", ".jsonl") for packed in ("", ".gz", ".zst"))
PART_BYTES = 128 << 20  # chosen by us: of posts in memory at a time
MAX_PARTS = 256  # open temporary files
QUESTION, ANSWER = "1", "2"

FORMULA_SITES = (
    "math.", "mathoverflow.net", "physics.", "stats.", "cs.", "cstheory.", "mathematica.", "quant.", "dsp.", "scicomp.",
    "chemistry.", "economics.", "ai.", "datascience.", "or.", "quantumcomputing.", "hsm.", "matheducators.", "crypto.",
    "astronomy.", "earthscience.", "biology.", "engineering.", "puzzling.", "computergraphics.", "proofassistants.",
    "bioinformatics.", "mattermodeling.", "space.", "aviation.",
)  # fmt: skip
"""Sites that set formulas between single dollars; elsewhere a dollar is a dollar (chosen by us)."""

_ROW = re.compile(rb"<row(?:\s+[A-Za-z]+=\"[^\"<]*\")*\s*/>")
_ATTRIBUTE = re.compile(rb"([A-Za-z]+)=\"([^\"<]*)\"")
_FRAME = re.compile(rb"<\?xml[^<>]*\?>|</?posts>")
_REFERENCE = re.compile(r"&([^;&]{0,10});?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class Config(BaseConfig):
    """Folders `<site>/Posts.xml` of unpacked dumps, or files `<site>-Posts.xml`, or RedPajama's pairs `<site>.jsonl`.

    `sites` takes these sites only ("math.stackexchange.com"), `largest` so many with the longest files: RedPajama took
    the 28 with the most posts.  `site` names the site of a single file whose path does not.
    """

    kind: Literal["stackexchange"]
    path: str
    sites: tuple[str, ...] = ()
    largest: int | None = Field(default=None, ge=1)
    site: str | None = None
    min_answers: int = Field(default=0, ge=0)
    max_answers: int | None = Field(default=None, ge=0, description="of the best scores")
    min_question_score: int | None = None
    min_answer_score: int | None = None
    formulas: Literal["auto", "dollars", "none"] = "auto"
    max_line_bytes: int = Field(default=16 << 20, ge=1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A question or an answer as the dump has it; `question` is the question's id."""

    question: int
    id: int
    is_question: bool
    score: int
    title: str
    body: str
    tags: tuple[str, ...] = ()
    created: str = ""
    licence: str = ""


@dataclass
class _Thread:
    question: Post | None = None
    answers: list[Post] = field(default_factory=list)


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The files of posts.  Raises InputError where there are none, or none of a site that is named."""
    found = [
        file
        for file in list_inputs(config.path, base, SUFFIXES, wanted="Posts.xml of a data dump, or .jsonl of its pairs")
        if file.name.lower().endswith((*SUFFIXES, "/"))
    ]
    if config.sites:
        missing = set(config.sites) - {site_of(config, file) for file in found}
        if missing:
            raise InputError(f"{config.path}: no posts of {', '.join(sorted(missing))}; unpack the site's dump there")
        found = [file for file in found if site_of(config, file) in config.sites]
    if config.largest is not None:
        largest = sorted(found, key=lambda file: (-file.size, file.name))[: config.largest]
        found = sorted(largest, key=lambda file: file.name)
    if not found:
        raise InputError(f"{config.path}: holds no Posts.xml of a data dump")
    return found


def site_of(config: Config, file: SourceFile) -> str:
    """The site that a file's posts are of: what its name says before "-Posts.xml", or its folder."""
    if config.site is not None:
        return config.site
    path = Path(file.paths[0] if "/" not in file.name else file.name)
    name = re.sub(r"(?:\.gz|\.zst)\Z", "", path.name)
    stem = re.sub(r"[-_.]?posts\.xml\Z|\.jsonl\Z", "", name, flags=re.IGNORECASE)
    return stem or path.parent.name


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The questions of one file, in order of their ids (where it is long: within parts of it), and its bad lines."""
    site = site_of(config, file)
    expands = 6 if file.name.endswith((".gz", ".zst")) else 1
    num_parts = min(MAX_PARTS, max(1, expands * max(file.size, 0) // PART_BYTES + 1))
    is_xml = ".xml" in file.name.lower().rpartition("/")[2]
    posts = _xml_posts(config, file) if is_xml else _pair_posts(config, file)
    if num_parts == 1:
        threads: dict[int, _Thread] = {}
        for post in posts:
            if isinstance(post, Quarantined):
                yield post
            else:
                _add(threads, post)
        yield from _documents(config, threads, site, source, file)
        return
    with tempfile.TemporaryDirectory(prefix="stackexchange-") as folder, contextlib.ExitStack() as stack:
        parts = [stack.enter_context(open(Path(folder) / str(number), "w+b")) for number in range(num_parts)]
        for post in posts:
            if isinstance(post, Quarantined):
                yield post
            else:
                _write(parts[post.question % num_parts], post)
        for part in parts:
            threads = {}
            part.seek(0)
            for line in part:
                _add(threads, _read(line))
            part.truncate(0)
            yield from _documents(config, threads, site, source, file)


def _write(part: IO[bytes], post: Post) -> None:
    import orjson

    values = [post.question, post.id, post.is_question, post.score, post.title, post.body]
    part.write(orjson.dumps([*values, list(post.tags), post.created, post.licence]) + b"\n")


def _read(line: bytes) -> Post:
    import orjson

    question, id_, is_question, score, title, body, tags, created, licence = orjson.loads(line)
    return Post(
        question=question, id=id_, is_question=is_question, score=score, title=title, body=body, tags=tuple(tags),
        created=created, licence=licence,
    )  # fmt: skip


def _add(threads: dict[int, _Thread], post: Post) -> None:
    thread = threads.setdefault(post.question, _Thread())
    if post.is_question:
        thread.question = thread.question or post
    else:
        thread.answers.append(post)


# ---------------------------------------------------------------- posts of a file


def _lines(config: Config, file: SourceFile) -> Iterator[tuple[int, bytes] | Quarantined]:
    (path,) = file.paths
    number = 0
    try:
        with open_input(path) as handle:
            for number, line in read_lines(read_chunks(handle, path), config.max_line_bytes):
                if line is None:
                    reason = f"line longer than {config.max_line_bytes} bytes"
                    yield Quarantined(path=file.name, line=number, reason=reason)
                elif line.strip():
                    yield number, line.strip()
    except BrokenStreamError as error:
        yield Quarantined(path=file.name, line=number + 1, reason=str(error))
    except OSError as error:
        yield Quarantined(path=file.name, line=number + 1, reason=f"unreadable: {error.strerror or error}")


def _xml_posts(config: Config, file: SourceFile) -> Iterator[Post | Quarantined]:
    for entry in _lines(config, file):
        if isinstance(entry, Quarantined):
            yield entry
            continue
        number, line = entry
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if _FRAME.fullmatch(line):
            continue
        try:
            post = _post_of_row(line)
        except ValueError as error:
            yield Quarantined(path=file.name, line=number, reason=str(error), excerpt=excerpt(line))
            continue
        if post is not None:
            yield post


def _post_of_row(line: bytes) -> Post | None:
    """The post of one <row/>, None for posts of another kind.  Raises ValueError that says what is wrong."""
    if not _ROW.fullmatch(line):
        raise ValueError("not a <row .../> of a data dump")
    row = dict(_ATTRIBUTE.findall(line))
    kind = row.get(b"PostTypeId", b"").decode("ascii", "replace")
    if kind not in (QUESTION, ANSWER):
        return None
    is_question = kind == QUESTION
    return Post(
        question=_number(row, b"Id" if is_question else b"ParentId"),
        id=_number(row, b"Id"),
        is_question=is_question,
        score=_number(row, b"Score") if b"Score" in row else 0,
        title=_text(row.get(b"Title", b"")),
        body=_text(row.get(b"Body", b"")),
        tags=tuple(re.findall(r"[^<>|]+", _text(row.get(b"Tags", b"")))),
        created=_text(row.get(b"CreationDate", b"")),
        licence=_text(row.get(b"ContentLicense", b"")),
    )


def _number(row: dict[bytes, bytes], name: bytes) -> int:
    value = row.get(name, b"")
    if not re.fullmatch(rb"-?[0-9]{1,18}", value):
        raise ValueError(f"{name.decode()} is not a number" if name in row else f"{name.decode()} is missing")
    return int(value)


def _text(value: bytes) -> str:
    text = value.decode("utf-8")  # UnicodeDecodeError is a ValueError
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name in _NAMED and match[0].endswith(";"):
        return _NAMED[name]
    number = re.fullmatch(r"#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))", name)
    if number is None or not match[0].endswith(";"):
        raise ValueError(f"the reference {match[0][:12]!r} is none of XML's own")
    point = int(number[1], 16) if number[1] else int(number[2])
    is_character = point in (9, 10, 13) or 32 <= point < 0xD800 or 0xE000 <= point < 0x110000
    return chr(point) if is_character else "\ufffd"


def _pair_posts(config: Config, file: SourceFile) -> Iterator[Post | Quarantined]:
    """RedPajama's pairs: {"question": {"id", "text", "score"}, "answers": [{"id", "text", "score"}]}."""
    import orjson

    for entry in _lines(config, file):
        if isinstance(entry, Quarantined):
            yield entry
            continue
        number, line = entry
        try:
            value = orjson.loads(line)
            posts = _posts_of_pair(value)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"not a question with its answers: {type(error).__name__}: {error}"[:200]
            yield Quarantined(path=file.name, line=number, reason=reason, excerpt=excerpt(line))
            continue
        yield from posts


def _posts_of_pair(value: Any) -> list[Post]:
    question = value["question"]
    id_ = int(question["id"])
    posts = [_pair_post(id_, question, is_question=True)]
    return posts + [_pair_post(id_, answer, is_question=False) for answer in value.get("answers", [])]


def _pair_post(question: int, value: Any, *, is_question: bool) -> Post:
    if not isinstance(value["text"], str):
        raise TypeError("the text is no string")
    return Post(
        question=question,
        id=int(value["id"]),
        is_question=is_question,
        score=int(value.get("score", 0)),
        title="",
        body=value["text"],
    )


# ---------------------------------------------------------------- documents


def _documents(
    config: Config, threads: dict[int, _Thread], site: str, source: str, file: SourceFile
) -> Iterator[Document | Quarantined]:
    for number in sorted(threads):
        thread = threads.pop(number)
        if thread.question is None:
            for answer in thread.answers:
                reason = f"an answer to question {number}, which is not in the file"
                yield Quarantined(path=file.name, member=f"post {answer.id}", reason=reason)
            continue
        answers = sorted(thread.answers, key=lambda post: (-post.score, post.id))
        if config.min_answer_score is not None:
            answers = [answer for answer in answers if answer.score >= config.min_answer_score]
        answers = answers[: config.max_answers]
        question = thread.question
        too_few = len(answers) < config.min_answers
        if too_few or (config.min_question_score is not None and question.score < config.min_question_score):
            continue
        record = _document(config, question, answers, site, source)
        yield (
            record
            if isinstance(record, Document)
            else Quarantined(path=file.name, member=f"post {number}", reason=record)
        )


def _document(config: Config, question: Post, answers: list[Post], site: str, source: str) -> Document | str:
    from proof_pile.sources.html_text import fragment_text
    from proof_pile.sources.web.writer import TooDeepPageError

    dollars = config.formulas == "dollars" or (config.formulas == "auto" and site.startswith(FORMULA_SITES))
    try:
        title = fragment_text(escape(question.title), dollars=dollars) if question.title else ""
        asked = fragment_text(question.body, dollars=dollars)
        given = [fragment_text(answer.body, dollars=dollars) for answer in answers]
    except TooDeepPageError as error:
        return f"nested too deeply: {error}"
    parts = ["Q: " + "\n\n".join(filter(None, (title, asked))), *(f"A: {answer}" for answer in given if answer)]
    if not (title or asked):
        return "an empty question"
    licences = sorted({post.licence for post in (question, *answers)} - {""})
    meta = {
        "site": site,
        "url": f"https://{site}/questions/{question.id}",
        "question_score": question.score,
        "answer_scores": [answer.score for answer in answers],
        "tags": list(question.tags),
        "created": question.created,
        "licences": licences,
    }
    kept = {key: value for key, value in meta.items() if value not in ("", [])}
    return make_document(source, str(meta["url"]), "\n\n".join(parts) + "\n", kept)

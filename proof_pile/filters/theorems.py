"""Takes the theorems of a prover's test sets out of source files and out of proof steps.

Lean: LeanDojo's splits (JSON lists of {file_path, full_name}).  In a file whose path ends in one of theirs, a theorem
of that full name goes, from the comment and attributes right above it to the end of its proof.
Isabelle: PISA's universal_test_theorems (JSON files [[path, statement], ...]).  A theorem with the same heading (all
before the first colon), or, without a name, with the same statement, goes from any file; a document of proof steps
that holds such a statement is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from llemma.core.config import Config as BaseConfig
from llemma.core.errors import InputError
from llemma.core.files import sha256_file
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

TEST_SPLITS = ("val.json", "test.json")  # of a folder of LeanDojo's
MAX_LIST_BYTES = 1 << 30  # chosen by us: LeanDojo's splits, with all their tactics, have some 100 MB

# What may stand in a Lean name besides letters and digits.
_NAME = r"[^\s:({\[⦃,;@#%^&*+=<>|/\\~`\"$]+"
_LEAN_LINE = re.compile(
    rf"^(?:"
    rf"(?P<scope>namespace|section|noncomputable section|mutual)\b[ \t]*(?P<scope_name>(?!--){_NAME})?[ \t]*(?=$|--)"
    rf"|(?P<end>end)\b(?:[ \t]+(?P<end_name>(?!--){_NAME}))?[ \t]*(?=$|--)"
    rf"|[ \t]*(?:@\[[^\]\n]*\][ \t]*)*(?:(?:private|protected|nonrec|noncomputable|unsafe|partial|meta|local)[ \t]+)*"
    rf"(?P<kind>theorem|lemma)[ \t\n]+(?P<name>{_NAME}))",
    re.MULTILINE,
)
_BEGINNING = 12  # characters: of "lemma "1 + 1..." enough to look few statements over
_ISABELLE_START = re.compile(r"^[ \t]*(?:theorem|lemma|corollary|proposition|schematic_goal|lemmas)\b", re.MULTILINE)
_ISABELLE_GOES_ON = re.compile(
    r"[ \t]|(?:proof|qed|next|have|hence|thus|then|show|by|apply|done|using|unfolding|case|fix|assume|obtain|moreover|"
    r"ultimately|also|finally|from|with|subgoal|defer|prefer|let|interpret|note|sorry|oops|supply)\b"
)


class Config(BaseConfig):
    """Files or folders of the lists; `names` are further Lean names, in whatever file they stand.

    Relative paths are taken from where the program is run, unless `settled` has made them whole.
    """

    kind: Literal["theorems"]
    lean: tuple[str, ...] = ()
    isabelle: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hashes: tuple[str, ...] = Field(default=(), description="of the lists; filled in when a build is planned")

    @model_validator(mode="after")
    def _some_lists(self) -> Config:
        if not (self.lean or self.isabelle or self.names):
            raise ValueError("give 'lean', 'isabelle' or 'names'")
        return self

    def settled(self, base: Path) -> Config:
        """The section with whole paths and with the hashes of its lists, so that a changed list is a changed section.

        Raises InputError where a list is not there.
        """
        lean, isabelle = ([str(base / path) for path in paths] for paths in (self.lean, self.isabelle))
        files = [file for path in lean for file in _lean_files(Path(path))]
        files += [file for path in isabelle for file in _json_files(Path(path))]
        return self.model_copy(
            update={"lean": tuple(lean), "isabelle": tuple(isabelle), "hashes": tuple(map(sha256_file, files))}
        )


@dataclass(frozen=True, slots=True)
class TestTheorems:
    """Theorems that no training text may hold."""

    lean: dict[str, set[str]] = field(default_factory=dict)  # full names by path of their file; "" for any file
    isabelle_headings: set[str] = field(default_factory=set)  # "lemma foo", white space as one space
    isabelle_statements: set[str] = field(default_factory=set)  # of those without a name
    isabelle_all: list[str] = field(default_factory=list)  # every statement, as given


# ---------------------------------------------------------------- lists


def load_theorems(lean: Iterable[str], isabelle: Iterable[str], names: Iterable[str] = ()) -> TestTheorems:
    """All theorems of the lists.  Raises InputError for one that is missing or of another form.

    A file has many theorems: in the original a dictionary from file to name kept only the last one of each.
    """
    found = TestTheorems()
    for name in names:
        found.lean.setdefault("", set()).add(name)
    for path in (file for item in lean for file in _lean_files(Path(item))):
        for record in _load(path):
            if not isinstance(record, dict) or not isinstance(record.get("full_name"), str):
                raise InputError(f"{path}: wanted a list of objects with file_path and full_name (LeanDojo's splits)")
            file_path = str(record.get("file_path", "")).strip("/")
            found.lean.setdefault(file_path, set()).add(record["full_name"])
    for path in (file for item in isabelle for file in _json_files(Path(item))):
        for record in _load(path):
            if not isinstance(record, list) or len(record) < 2 or not isinstance(record[1], str):
                raise InputError(f"{path}: wanted a list of [path, statement] (PISA's universal_test_theorems)")
            heading, named = isabelle_heading(record[1])
            (found.isabelle_headings if named else found.isabelle_statements).add(heading)
            found.isabelle_all.append(record[1].strip())
    return found


def _lean_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return _json_files(path)
    files = sorted(file for name in TEST_SPLITS for file in path.rglob(name) if file.parent.name != "novel_premises")
    if not files:
        raise InputError(f"{path}: holds no {' or '.join(TEST_SPLITS)}")
    return files


def _json_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.json")) if path.is_dir() else []
    if not files:
        raise InputError(f"{path}: no such file, or a folder without JSON files")
    return files


def _load(path: Path) -> list[Any]:
    import orjson

    if path.stat().st_size > MAX_LIST_BYTES:
        raise InputError(f"{path}: longer than {MAX_LIST_BYTES} bytes")
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, list):
        raise InputError(f"{path}: wanted a list, found {type(value).__name__}")
    return value


def isabelle_heading(statement: str) -> tuple[str, bool]:
    """What names a theorem: its text before the first colon, white space as one space, and True.

    Without a name it is the whole statement, and False.
    """
    quote = re.search(r"[\"‹]|\\<open>", statement)
    head = statement[: quote.start()] if quote is not None else statement
    colon = re.search(r"(?<!:):(?![:=])", head)
    words = head[: colon.start()].split() if colon is not None else []
    if len(words) > 1 and not {"fixes", "assumes", "shows", "includes"} & set(words):
        return " ".join(words), True
    return " ".join(statement.split()), False


# ---------------------------------------------------------------- Lean


def lean_test_spans(text: str, names: set[str]) -> list[tuple[int, int]]:
    """Where theorems of these full names stand, namespaces followed, in order.

    A name that is not found so (a namespace opened by a macro) takes all that its end could be the name of.
    """
    declared = list(_declared(text))
    absent = names - {full for _, _, _, full in declared}
    ends = {".".join(name.split(".")[i:]) for name in absent for i in range(name.count(".") + 1)}
    spans = []
    for number, (start, end, name, full) in enumerate(declared):
        if full in names or name in ends:
            following = declared[number + 1][0] if number + 1 < len(declared) else len(text)
            # One lemma a line is a habit of mathlib: the next one stays, with what stands right above it.
            stop = min(_lean_end(text, end), max(_above(text, following), end))
            spans.append((_above(text, start), stop))
    return spans


def _declared(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Beginning, end of the name, name as declared and full name of each theorem."""
    scopes: list[tuple[str, str]] = []  # kind and name of each open namespace and section
    for match in _LEAN_LINE.finditer(text):
        if match["scope"] is not None:
            scopes.append((match["scope"], match["scope_name"] or ""))
        elif match["end"] is not None:
            _close(scopes, match["end_name"] or "")
        else:
            name = re.sub(r"\.\{.*$", "", match["name"]).rstrip(".")
            inside = [scope for kind, scope in scopes if kind == "namespace"]
            full = name.removeprefix("_root_.") if name.startswith("_root_.") else ".".join([*inside, name])
            yield match.start(), match.end(), name, full


def _close(scopes: list[tuple[str, str]], name: str) -> None:
    """Takes away what `end` closes: with a name those scopes that it spells, without one a nameless section at most.

    In Lean 3 a bare `end` closes a proof, far more often than anything else.
    """
    if not name:
        if scopes and not scopes[-1][1]:
            scopes.pop()
        return
    for first in range(len(scopes) - 1, -1, -1):
        if scopes[first][1] == name or ".".join(scope for _, scope in scopes[first:] if scope) == name:
            del scopes[first:]
            return


def _above(text: str, start: int) -> int:
    """Where the comment and the attributes begin that stand right above a line."""
    while start > 0:
        line_start = text.rfind("\n", 0, start - 1) + 1
        line = text[line_start : start - 1].strip()
        if line.endswith("-/"):
            opened = max(text.rfind("/--", 0, start), text.rfind("/-", 0, start))
            if opened < 0:
                return start
            start = text.rfind("\n", 0, opened) + 1
        elif line.startswith("@[") or (line.endswith("]") and "@[" not in line and _in_attribute(text, line_start)):
            start = line_start
        else:
            return start
    return start


def _in_attribute(text: str, line_start: int) -> bool:
    """Whether the line is the last of an attribute that began on a line above."""
    opened = text.rfind("@[", 0, line_start)
    return opened >= 0 and "\n\n" not in text[opened:line_start] and "]" not in text[opened:line_start]


def _lean_end(text: str, start: int) -> int:
    """The next blank line after which nothing indented follows: a proof may have blank lines inside."""
    return _end(text, start, re.compile(r"[ \t]+\S"))


def _end(text: str, start: int, goes_on: re.Pattern[str]) -> int:
    while True:
        blank = re.compile(r"\n[ \t]*\n").search(text, start)
        if blank is None:
            return len(text)
        following = re.compile(r"\n*").match(text, blank.end())
        assert following is not None
        if goes_on.match(text, following.end()) is None:
            return blank.start() + 1
        start = following.end()


# ---------------------------------------------------------------- Isabelle


def isabelle_test_spans(text: str, theorems: TestTheorems) -> Iterator[tuple[int, int]]:
    """Where theorems of the list stand, by heading or, nameless, by statement, in order."""
    beginnings: dict[str, list[str]] = {}
    for known in theorems.isabelle_statements:
        beginnings.setdefault(known[:_BEGINNING], []).append(known)
    end = 0
    for match in _ISABELLE_START.finditer(text):
        if match.start() < end:
            continue
        statement = re.compile(
            r"\n[ \t]*\n|\n[ \t]*(?:by|proof|apply|using|unfolding|including|done|oops)\b|\Z"
        ).search(text, match.end())
        assert statement is not None
        whole = text[match.start() : statement.start()]
        heading, named = isabelle_heading(whole)
        if heading in theorems.isabelle_headings if named else _begins_alike(heading, beginnings):
            end = _end(text, match.end(), _ISABELLE_GOES_ON)
            yield match.start(), end


def _begins_alike(statement: str, beginnings: dict[str, list[str]]) -> bool:
    """Whether a nameless statement is one of the list, or goes on after it: the source shows not where one ends."""
    return any(statement.startswith(known) for known in beginnings.get(statement[:_BEGINNING], ()))


# ---------------------------------------------------------------- the filter


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text without these spans; where one was, one blank line at most is left, and none at the beginning."""
    kept, end = "", 0
    for start, stop in [*spans, (len(text), len(text))]:
        part = text[end : max(start, end)]
        if end > 0:
            after = part.lstrip("\n")
            num_ends = len(kept) - len(kept.rstrip("\n")) + len(part) - len(after)
            part = "\n" * min(num_ends, 2) + after if kept.strip() else after
            kept = kept.rstrip("\n") if kept.strip() else ""
        kept += part
        end = max(stop, end)
    return kept


def make(config: Config) -> Filter:
    """Rewrites the text, and counts in meta.test_theorems what went.

    Reasons: test-theorem (of proof steps), only-test-theorems (nothing else is left).
    """
    theorems = load_theorems(config.lean, config.isabelle, config.names)
    by_base: dict[str, list[str]] = {}
    for path in theorems.lean:
        by_base.setdefault(path[path.rfind("/") + 1 :], []).append(path)

    def lean_names(path: str) -> set[str]:
        names = set(theorems.lean.get("", ()))
        for candidate in by_base.get(path[path.rfind("/") + 1 :], ()):
            if candidate and (path == candidate or path.endswith("/" + candidate)):
                names |= theorems.lean[candidate]
        return names

    def judge(document: Document) -> Verdict:
        language, text = document.meta.get("language"), document.text
        if document.meta.get("format") == "isabelle-proof-steps":
            held = any(statement in text for statement in theorems.isabelle_all)
            return Drop("test-theorem") if held else Keep(document)
        if language == "lean" and theorems.lean and document.meta.get("format") is None:
            names = lean_names(str(document.meta.get("path") or document.name))
            spans = lean_test_spans(text, names) if names else []
        elif language == "isabelle" and (theorems.isabelle_headings or theorems.isabelle_statements):
            spans = list(isabelle_test_spans(text, theorems))
        else:
            return Keep(document)
        if not spans:
            return Keep(document)
        rewritten = _without(text, spans)
        if not rewritten.strip():
            return Drop("only-test-theorems")
        return Keep(replace(document, text=rewritten, meta={**document.meta, "test_theorems": len(spans)}))

    return judge

r"""The files of one paper: their encodings, which of them are documents, and what they read in.

A document is a file with \documentclass and \begin{document} that no other document of the paper reads in.  The main
one is what 00README names as top level, else the best of: has both; is called main, ms, paper or article; is longest.
A paper whose files have no \documentclass has a document for each file with a section that no other reads in.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proof_pile.sources.tex import names, surface
from proof_pile.sources.tex.braces import Groups
from proof_pile.sources.tex.surface import Surface

TEX = (".tex", ".ltx", ".latex")
PACKAGES = (".sty", ".cls")
READ_IN = (".bbl", ".tikz", ".pgf", ".inc", ".mac", ".macros", ".def")
README = ("00readme.xxx", "00readme.json")
MAX_INPUTS = 5000  # chosen by us: files read into one document; a book has some hundred
MAX_PAPER_INPUTS = 50_000  # in all documents of a paper together
MAX_INPUT_DEPTH = 20
MAX_PACKAGE_BYTES = 1_000_000
_USUAL = frozenset({"main", "ms", "paper", "article", "root"})

_ENCODING = re.compile(rb"\\(?:usepackage\s*\[([a-zA-Z0-9-]+)\]\s*\{inputenc\}|inputencoding\{([a-zA-Z0-9-]+)\})")
_CJK = re.compile(rb"\\begin\s*\{CJK\*?\}\s*(?:\[[^\]]{0,40}\])?\s*\{([A-Za-z0-9-]{1,10})\}")
_CODECS = {"latin1": "latin-1", "ansinew": "cp1252", "cp1252": "cp1252", "latin9": "iso8859-15", "latin2": "iso8859-2",
           "latin3": "iso8859-3", "latin4": "iso8859-4", "latin5": "iso8859-9", "latin10": "iso8859-16",
           "cp1250": "cp1250", "cp1251": "cp1251", "koi8-r": "koi8-r", "koi8-u": "koi8-u", "applemac": "mac-roman",
           "macce": "mac-latin2", "cp437": "cp437", "cp850": "cp850", "cp852": "cp852", "cp855": "cp855",
           "cp866": "cp866", "iso88595": "iso8859-5", "gbk": "gbk", "gb": "gb2312", "bg5": "big5", "sjis": "shift_jis",
           "ks": "euc-kr"}  # fmt: skip

# Packages and classes that everybody has: a copy in a paper's folder is not read for macros.
_PUBLIC = """
CJK CJKutf8 IEEEtran acmart algorithm algorithm2e algorithmic algorithmicx algpseudocode amsart amsbook amsbsy
amscd amsfonts amsmath amsopn amsproc amssymb amstext amsthm array article axodraw babel bbm bm book booktabs
braket bussproofs calc cancel caption cite cleveref color comment ctex diagrams dsfont elsart elsarticle
endfloat enumerate enumitem epsf epsfig etoolbox expl3 fancyhdr feynmf feynmp float fontenc fontspec geometry
graphics graphicx hyperref ifthen inputenc keyval latexsym letter lineno listings llncs longtable mathpartir
mathptmx mathrsfs mathtools minted multirow natbib pgf pgfplots pgfplotstable physics proof pst-all pstricks
report revtex revtex4 revtex4-1 revtex4-2 setspace sig-alternate siunitx slashed soul standalone stmaryrd subfig
subfigure subfiles svjour svjour3 tabularx textcomp tikz times ulem unicode-math units url verbatim wasysym
xcolor xkeyval xparse xspace xy xypic
"""


@dataclass(slots=True)
class Project:
    """The cleaned files of one paper by path, the encodings that were found, and what has been read in so far."""

    files: dict[str, Surface] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)
    binary: list[str] = field(default_factory=list)
    top: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()
    has_packages: bool = False
    inputs_left: int = MAX_PAPER_INPUTS


@dataclass(slots=True)
class Assembled:
    """A document with all that it reads in, and the style files of the paper that it loads."""

    text: bytes
    packages: bytes
    used: set[str]
    missing: list[str]
    truncated: bool


def decode(data: bytes, declared: str | None = None) -> tuple[bytes, str] | None:
    """The file in UTF-8 and the encoding that it was in; None where it is binary.

    UTF-8 or UTF-16 by its mark, else UTF-8 where it is valid, else the declared encoding (of inputenc or CJK), else
    UTF-8 with its few bad bytes replaced where most others are good, else windows-1252, else latin-1.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode(), "utf-16"
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    if b"\0" in data:
        for place, codec in ((1, "utf-16-le"), (0, "utf-16-be")):
            if len(data) > 3 and data[place:200:2].count(0) > 0.8 * len(data[place:200:2]):
                return data.decode(codec, "replace").encode(), "utf-16"
        if data.count(0) * 100 > len(data.rstrip(b"\0")) or b"\\" not in data[:100_000]:
            return None
        data = data.replace(b"\0", b"")
    if data.isascii():
        return data, "utf-8"
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        return data, "utf-8"
    known = _CODECS.get((declared or "").lower())
    if known is not None and (declared or "").lower() not in ("utf8", "utf8x"):
        try:
            return data.decode(known).encode(), known
        except UnicodeDecodeError:
            pass
    text = data.decode("utf-8", "replace")
    num_bad = text.count("\ufffd")
    if len(data) - len(text) > 4 * num_bad:  # bytes beyond the first of good characters outnumber the bad
        return text.encode(), "utf-8 with errors"
    try:
        return data.decode("cp1252").encode(), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1").encode(), "latin-1"


def _declared(files: Mapping[str, bytes]) -> str | None:
    for data in (data[:100_000] for data in files.values()):
        if b"inputenc" in data or b"inputencoding" in data:
            match = _ENCODING.search(data)
            if match:
                return (match[1] or match[2]).decode()
        if b"{CJK" in data and (match := _CJK.search(data)):
            return match[1].decode()
    return None


def _readme(files: Mapping[str, bytes]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The top-level files and those to ignore by arXiv's 00README, of which there are two forms."""
    top: list[str] = []
    ignored: set[str] = set()
    for path, data in files.items():
        if path.lower() == "00readme.json":
            try:
                sources = json.loads(data[:100_000])["sources"]
                pairs = [(str(s["filename"]), str(s.get("usage", ""))) for s in sources]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
        elif path.lower() == "00readme.xxx":
            lines = (line.split() for line in data[:100_000].decode("utf-8", "replace").splitlines())
            pairs = [(words[0], words[1].lower()) for words in lines if len(words) >= 2]
        else:
            continue
        for name, usage in pairs:
            if usage in ("toplevel", "toplevelfile"):
                top.append(posixpath.normpath(name))
            elif usage == "ignore":
                ignored.add(posixpath.normpath(name))
    return tuple(top), frozenset(ignored)


def load(raw: Mapping[str, bytes]) -> Project:
    """The files of a paper, decoded and without comments."""
    top, ignored = _readme(raw)
    project = Project(top=top, ignored=ignored)
    declared = _declared(raw) if any(not data.isascii() for data in raw.values()) else None
    decoded: dict[str, bytes] = {}
    for path, data in sorted(raw.items()):
        if path.lower() in README or path in ignored:
            continue
        found = decode(_linked(raw, path, data), declared)
        if found is None:
            project.binary.append(path)
            continue
        decoded[path], project.encodings[path] = found
    declaring = []
    for path, data in decoded.items():
        package = path.lower().endswith(PACKAGES)
        if package and (len(data) > MAX_PACKAGE_BYTES or _stem(path) in _PUBLIC.split()):
            continue
        project.has_packages = project.has_packages or package
        project.files[path] = surface.clean(data, package=package)
        if project.files[path].defines_verbatim:
            declaring.append(surface.verbatim_of(data))
    if declaring:
        environments = {name: code for one in declaring for name, code in one.environments.items()}
        character = next((one.character for one in declaring if one.character), 0)
        verbatim = surface.Verbatim(environments=environments, character=character)
        for path in project.files:
            package = path.lower().endswith(PACKAGES)
            project.files[path] = surface.clean(decoded[path], package=package, verbatim=verbatim)
    return project


def _linked(raw: Mapping[str, bytes], path: str, data: bytes) -> bytes:
    """What a link points to where git, or an archive, wrote it as a file that holds nothing but the other's path."""
    if len(data) > 200 or b"/" not in data or not data.strip() or b"\\" in data or b"\n" in data.strip():
        return data
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), data.strip().decode("utf-8", "replace")))
    return raw.get(target, data)


def _stem(path: str) -> str:
    return posixpath.basename(path).rsplit(".", 1)[0]


def documents(project: Project) -> list[str]:
    """The paths of the paper's documents, the main one first; none where no file has a class or a section."""
    files = {path: file for path, file in project.files.items() if not path.lower().endswith((*PACKAGES, ".bbl"))}
    begun = [p for p, f in files.items() if f.has(names.CLASS) or f.has(names.ENV_DOCUMENT)]
    candidates = begun or [p for p, f in files.items() if f.section >= 0]
    if len(candidates) < 2:
        return candidates

    def rank(path: str) -> tuple[bool, bool, bool, bool, int, str]:
        file = files[path]
        part = file.has(names.CLASS) and _class_name(file) in ("standalone", "subfiles")
        begins = file.has(names.ENV_DOCUMENT)
        return path in project.top, not part, begins, _stem(path).lower() in _USUAL, len(file.text), path

    ranked = sorted(candidates, key=rank, reverse=True)
    readings = _readings(project)
    loops = _loops(readings)
    number = {path: n for n, loop in enumerate(loops) for path in loop}
    wanted = set(ranked)
    read = [False] * len(loops)  # by a candidate that they do not read in turn
    begins = [False] * len(loops)  # or what they read in does
    for n, loop in enumerate(loops):  # what is read in stands before what reads it
        begins[n] = any(path in files and files[path].has(names.ENV_DOCUMENT) for path in loop) or any(
            begins[number[other]] for path in loop for other in readings[path]
        )
    for n in reversed(range(len(loops))):
        if read[n] or not wanted.isdisjoint(loops[n]):
            for other in {number[other] for path in loops[n] for other in readings[path]} - {n}:
                read[other] = True
    chosen: list[str] = []
    taken: set[int] = set()
    for path in ranked:
        n = number[path]
        if read[n] or n in taken:
            continue  # of files that read each other in turn, the first in rank stays
        if begun and any(begins) and not begins[n]:
            continue  # a class, or a template, without a document
        if chosen and files[path].has(names.CLASS) and _class_name(files[path]) == "standalone":
            continue  # a picture
        chosen.append(path)
        taken.add(n)
    return chosen


def _class_name(file: Surface) -> str:
    begin, end = next((b, e) for code, b, e in file.marks if code == names.CLASS)
    return _last_group(file.text[begin:end]).strip()


def _last_group(command: bytes) -> str:
    return command[command.rfind(b"{") + 1 : command.rfind(b"}")].decode("utf-8", "replace")


def _readings(project: Project) -> dict[str, set[str]]:
    """The files that each file reads in by itself, wherever above it the document lies that paths begin from."""
    known: dict[tuple[str, int, bytes], set[str]] = {}

    def read_by(folder: str, code: int, command: bytes) -> set[str]:
        if (folder, code, command) not in known:
            parts = folder.split("/")[:10]
            above = ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]
            where = posixpath.join(folder, "x")
            found = (_find(project.files, _input_names(command, code, where, main)) for main in above)
            known[folder, code, command] = {other for other in found if other is not None}
        return known[folder, code, command]

    readings: dict[str, set[str]] = {}
    for path, file in project.files.items():
        commands = {
            (code, file.text[begin:end])
            for code, begin, end in file.marks
            if names.INPUT <= code <= names.IF_FILE and end - begin < 1000
        }
        folder = posixpath.dirname(path)
        readings[path] = {other for code, command in commands for other in read_by(folder, code, command)}
    return readings


def _loops(readings: Mapping[str, set[str]]) -> list[list[str]]:
    """Files that read each other in, together; a loop stands after all that it reads in (Tarjan 1972, with a stack)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    is_open: set[str] = set()
    loops: list[list[str]] = []
    for root in readings:
        if root in order:
            continue
        work = [(root, iter(sorted(readings[root])))]
        order[root] = low[root] = len(order)
        open_.append(root)
        is_open.add(root)
        while work:
            path, rest = work[-1]
            other = next(rest, None)
            if other is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[path])
                if low[path] == order[path]:
                    loop: list[str] = []
                    while path not in loop[-1:]:
                        loop.append(open_.pop())
                    is_open.difference_update(loop)
                    loops.append(loop)
            elif other not in order:
                order[other] = low[other] = len(order)
                open_.append(other)
                is_open.add(other)
                work.append((other, iter(sorted(readings[other]))))
            elif other in is_open:
                low[path] = min(low[path], order[other])
    return loops


_GROUP = re.compile(rb"\{([^{}]*)\}")


def _input_names(command: bytes, code: int, where: str, main: str) -> list[str]:
    """The paths that a command may mean, the likeliest first."""
    groups = [g.decode("utf-8", "replace").strip().strip('"') for g in _GROUP.findall(command)]
    if not groups:
        word = command.split(None, 1)[-1] if b" " in command or b"\n" in command or b"\t" in command else b""
        groups = [word.decode("utf-8", "replace").strip().strip('"')]
    name = groups[-1]
    here = posixpath.dirname(where)
    if code in (names.IMPORT, names.SUBIMPORT):
        folder = groups[0] if len(groups) > 1 else ""
        bases = [posixpath.join(main if code == names.IMPORT else here, folder), posixpath.join(here, folder), folder]
    else:
        bases = [main, here, ""]
    return [posixpath.normpath(posixpath.join(base, name)) for base in dict.fromkeys(bases)] if name else []


def _find(files: Mapping[str, object], paths: Iterable[str]) -> str | None:
    for path in paths:
        for candidate in (path, *(path + ending for ending in TEX)):
            if candidate in files:
                return candidate
    return None


def _find_package(files: Mapping[str, object], name: str, ending: str, main: str) -> str | None:
    for folder in (main, ""):
        path = posixpath.normpath(posixpath.join(folder, name + ending))
        if path in files:
            return path
    return None


def assemble(project: Project, main: str, *, bbl: bool, max_bytes: int) -> Assembled:
    r"""The document with everything that it reads in, in place.  Loops and what is not there become nothing.

    Of a file that is a document itself only what stands between \begin{document} and its end is read in.
    """
    result = Assembled(text=b"", packages=b"", used={main}, missing=[], truncated=False)
    folder = posixpath.dirname(main)
    packages: list[bytes] = []
    loaded: set[str] = set()
    searched: set[str] = set()
    budget = max_bytes
    num_inputs = 0
    inlined = False

    def load_packages(where: str, depth: int) -> None:
        if not project.has_packages or where in searched:
            return
        searched.add(where)
        file = project.files[where]
        for code, begin, end in file.marks:
            if code not in (names.PACKAGE, names.CLASS):
                continue
            command = file.text[begin:end]
            ending = ".cls" if b"lass" in command[:15] else ".sty"
            for name in _last_group(command).split(","):
                path = _find_package(project.files, name.strip(), ending, folder)
                if path is None or path in loaded or depth > 5 or len(loaded) > 100:
                    continue
                loaded.add(path)
                load_packages(path, depth + 1)
                for inner, first, last in project.files[path].marks:
                    if inner == names.INPUT:
                        inner_command = project.files[path].text[first:last]
                        other = _find(project.files, _input_names(inner_command, inner, path, folder))
                        if other is not None and other not in loaded and other not in result.used:
                            loaded.add(other)
                            packages.append(project.files[other].text)
                packages.append(project.files[path].text)

    def resolve(path: str, active: tuple[str, ...]) -> bytes:
        load_packages(path, 0)
        return resolve_text(project.files[path], path, active)

    def resolve_text(file: Surface, path: str, active: tuple[str, ...]) -> bytes:
        nonlocal budget, num_inputs, inlined
        text = file.text
        groups = Groups(text)
        start, stop = 0, len(text)
        if active:
            opened, closed = file.first(names.ENV_DOCUMENT), file.first(-names.ENV_DOCUMENT)
            start = text.index(b"}", opened) + 1 if opened >= 0 else 0
            stop = closed if closed >= start else stop
        pieces: list[bytes] = []
        for code, begin, end in file.marks:
            if begin < start or begin >= stop:
                continue
            if code == names.BIBLIOGRAPHY:
                if bbl and not inlined and text.startswith((b"\\bibliography{", b"\\printbibliography"), begin):
                    found = _find(project.files, [main.rsplit(".", 1)[0] + ".bbl", *_only(project.files, ".bbl")])
                    inlined = True
                    if found is not None:
                        pieces += [text[start:begin], project.files[found].text]
                        result.used.add(found)
                        start = end
                continue
            if not names.INPUT <= code <= names.IF_FILE:
                continue
            command = text[begin:end]
            if b"#" in command or b"\\" in command[1:]:
                continue  # a macro's body
            found = _find(project.files, _input_names(command, code, path, folder))
            pieces.append(text[start:begin])
            start = end
            num_inputs += 1
            project.inputs_left -= 1
            if code == names.IF_FILE:
                start, branch = _file_branches(groups, end, found is not None)
                if found is None or command.startswith(b"\\IfFileExists"):
                    nested = len(active) < MAX_INPUT_DEPTH
                    pieces.append(resolve_text(surface.clean(branch), path, (*active, path)) if nested else branch)
                    continue
            if found is None:
                result.missing.append(next(reversed(_input_names(command, code, path, "")), ""))
                continue
            spent = budget < 0 or num_inputs > MAX_INPUTS or project.inputs_left < 0
            if found in (*active, path) or len(active) >= MAX_INPUT_DEPTH or spent:
                result.truncated = result.truncated or found not in (*active, path)
                continue
            result.used.add(found)
            content = resolve(found, (*active, path)).removesuffix(b"\n")
            if found.lower().endswith(PACKAGES):
                content = b"\\makeatletter\n" + content + b"\n\\makeatother\n"
            pieces.append(content)
        pieces.append(text[start:stop])
        joined = b"".join(pieces)
        budget -= len(joined)
        return joined

    result.text = resolve(main, ())
    result.packages = b"\n".join(packages)
    return result


def _only(files: Mapping[str, object], ending: str) -> list[str]:
    found = [path for path in files if path.lower().endswith(ending)]
    return found if len(found) == 1 else []


def _file_branches(groups: Groups, position: int, exists: bool) -> tuple[int, bytes]:
    """The position after the two groups that follow \\IfFileExists, and the one of them that counts."""
    text = groups.text
    branches: list[bytes] = []
    for _ in range(2):
        start = position
        while start < len(text) and text[start] in b" \t\n" and start - position < 100:
            start += 1
        stop = groups.end(start)
        if stop is None:
            break
        branches.append(text[start + 1 : stop - 1])
        position = stop
    branches += [b""] * (2 - len(branches))
    return position, branches[0] if exists else branches[1]

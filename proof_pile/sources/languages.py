"""Which language a file's ending stands for.

Names are AlgebraicStack's where it has the language (its 17 first), else those of the trade.
"""

from __future__ import annotations

from collections.abc import Mapping

ALGEBRAIC_STACK: dict[str, str] = {
    ".agda": "agda",
    ".lagda": "agda",
    ".lagda.md": "agda",
    ".lagda.rst": "agda",
    ".lagda.tex": "agda",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".hxx": "cpp",
    ".ipp": "cpp",
    ".v": "coq",
    ".f": "fortran",
    ".f77": "fortran",
    ".f90": "fortran",
    ".f95": "fortran",
    ".f03": "fortran",
    ".f08": "fortran",
    ".for": "fortran",
    ".fpp": "fortran",
    ".g": "gap",
    ".gap": "gap",
    ".gd": "gap",
    ".gi": "gap",
    ".tst": "gap",
    ".hs": "haskell",
    ".lhs": "haskell",
    ".idr": "idris",
    ".lidr": "idris",
    ".thy": "isabelle",
    ".ipynb": "jupyter",
    ".jl": "julia",
    ".lean": "lean",
    ".mpl": "maple",
    ".m": "matlab",
    ".py": "python",
    ".pyx": "python",
    ".r": "r",
    ".tex": "tex",
    ".sty": "tex",
}

OTHER_CODE: dict[str, str] = {
    ".awk": "awk",
    ".bash": "shell",
    ".css": "css",
    ".cs": "csharp",
    ".erl": "erlang",
    ".ex": "elixir",
    ".go": "go",
    ".java": "java",
    ".js": "javascript",
    ".kt": "kotlin",
    ".lua": "lua",
    ".ml": "ocaml",
    ".php": "php",
    ".pl": "perl",
    ".pm": "perl",
    ".rb": "ruby",
    ".rs": "rust",
    ".scala": "scala",
    ".sh": "shell",
    ".sql": "sql",
    ".swift": "swift",
    ".ts": "typescript",
}

TEXT: dict[str, str] = {".txt": "text", ".md": "markdown", ".rst": "rst"}

EXTENSIONS: dict[str, str] = {**ALGEBRAIC_STACK, **OTHER_CODE, **TEXT}

# What other collections call AlgebraicStack's languages (The Stack's `lang`, GitHub's names), in lower case.
_NAMES: dict[str, str] = {
    "c++": "cpp",
    "jupyter notebook": "jupyter",
    "literate agda": "agda",
    "literate haskell": "haskell",
    "fortran free form": "fortran",
    "isa": "isabelle",
    "rocq prover": "coq",
    "lean 4": "lean",
    "c#": "csharp",
    "restructuredtext": "rst",
}


def language_of(name: str, table: Mapping[str, str] = EXTENSIONS) -> str | None:
    """The language that the file's ending stands for, or None; of "a.lagda.md" the longer ending counts first."""
    base = name[name.rfind("/") + 1 :].lower()
    last = base.rfind(".")
    if last < 0:
        return None
    before = base.rfind(".", 0, last)
    if before >= 0 and (found := table.get(base[before:])) is not None:
        return found
    return table.get(base[last:])


def language_named(name: str) -> str:
    """AlgebraicStack's name of a language that a collection calls so ("C++" is cpp, "fortran-free-form" is fortran)."""
    lowered = name.strip().lower()
    return _NAMES.get(lowered.replace("-", " "), lowered)


def is_language(name: str) -> bool:
    """Whether a name, as `language_named` gives it, is one of a language that we know."""
    return name in _KNOWN


_KNOWN = frozenset((*EXTENSIONS.values(), *_NAMES.values()))

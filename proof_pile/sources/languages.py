"""Which language a file's ending stands for.

Names are AlgebraicStack's where it has the language (its 17 first), else those of the trade.
"""

from __future__ import annotations

ALGEBRAIC_STACK: dict[str, str] = {
    ".agda": "agda",
    ".lagda": "agda",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".v": "coq",
    ".f": "fortran",
    ".f90": "fortran",
    ".f95": "fortran",
    ".f03": "fortran",
    ".f08": "fortran",
    ".for": "fortran",
    ".g": "gap",
    ".gap": "gap",
    ".gd": "gap",
    ".gi": "gap",
    ".hs": "haskell",
    ".lhs": "haskell",
    ".idr": "idris",
    ".thy": "isabelle",
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


def language_of(name: str) -> str | None:
    """The language that the file's ending stands for, or None."""
    dot = name.rfind(".")
    return EXTENSIONS.get(name[dot:].lower()) if dot > name.rfind("/") else None

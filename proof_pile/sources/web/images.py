"""Pictures of formulas: TeX in the address of the picture or in the words that stand for it."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from proof_pile.sources.web.equations import clean_tex, unwrap_displaystyle

MAX_CHARS = 5000  # chosen by us

# Addresses of programs that draw formulas, in small letters.
_PROGRAM = re.compile(
    r"/latex\.php\?|/math/render/|/tex\?|render\.githubusercontent\.com/render/math\?|latex\.artofproblemsolving\.com|texify"
    r"|/(?:(?:latex|tex|mathtex|mimetex|mathrender|texrender|formula|eqn|latexrender)\.(?:php|cgi|pl|ashx|aspx|do)[?/]"
    r"|chart\.(?:apis\.)?google[a-z]*\.com/chart\?)"
)
_CODECOGS = re.compile(r"codecogs\.com/\w[^?]*\?")
_QUERY_TEX = re.compile(r"(?:^|[?&])(?:latex|tex|math|eq|eqn|formula|chl|image|dpi\w*)=([^&]*)", re.IGNORECASE)
_TEX_CLASS = re.compile(
    r"(?:^|\s)(?:latex|tex|math|mathtex|mimetex|equation_image|latex-image|ql-img-\w+-equation|"
    r"mwe-math-fallback-image-\w+|mwe-math-fallback-png-\w+|texrender|latexcenter|asy-image|eq|formula|mathimg|"
    r"ee_img|tr_noresize|katex-img|Formula|numimg)(?:$|\s)",
)
_DISPLAY_CLASS = re.compile(r"display|latexcenter|fallback-image-display|equation_image", re.IGNORECASE)
# What tells a drawing program size, font and ground; \large{x} keeps its x.
_SIZE_WORDS = re.compile(
    r"(?:\\(?:(?:dpi|bg|fn)(?![a-zA-Z])(?:_[a-z]+|\s*\{[^{}]*\})?"
    r"|(?:inline|large|small|tiny|huge|normalsize|LARGE|opaque)(?![a-zA-Z]))\s*)+"
)
_TEX = re.compile(r"\\[a-zA-Z]{2,}|[\^_]\{|\\[{}]")
_FORMULA_LIKE = re.compile(r"[A-Za-z0-9\s.,+\-*/=<>!|()\[\]{}':;~&^_\\]{1,400}")


def image_formula(given: dict[str, str]) -> tuple[str, bool] | None:
    """TeX and whether it is displayed, for the attributes of a picture of a formula; None for any other picture."""
    alt = given.get("alt") or ""
    source = given.get("src") or given.get("data-src") or ""
    names = given.get("class") or ""
    if len(alt) > MAX_CHARS or len(source) > 4 * MAX_CHARS:
        return None
    delimited = alt.strip()
    if delimited[:2] in (r"\(", r"\[", "$$") or (delimited[:1] == "$" and delimited[-1:] == "$" and len(delimited) > 2):
        tex = _tidy(delimited)
        return (tex, delimited[:2] in (r"\[", "$$")) if tex else None
    if delimited.startswith(r"\begin{"):
        return (delimited, True)
    by_address = _is_formula_address(source)
    by_class, is_display = _judged_class(names)
    if not by_address and not by_class:
        if _TEX.search(delimited) and not re.search(r"[A-Za-z]{4,} [a-z]{3,} [a-z]{3,}", delimited):
            return (_tidy(delimited), False)
        return None
    tex = _tidy(delimited)
    if by_address and (not tex or not _FORMULA_LIKE.fullmatch(tex) or tex.lower() in ("equation", "latex", "formula")):
        tex = _tidy(_address_tex(source)) or tex
    if not tex or (not by_address and not _TEX.search(tex) and re.search(r"[A-Za-z]{4,} [A-Za-z]{3,}", tex)):
        return None
    return tex, is_display


@lru_cache(maxsize=1000)
def _judged_class(names: str) -> tuple[bool, bool]:
    """Whether the class of a picture is one of formulas, and of displayed ones; a page has few classes."""
    return _TEX_CLASS.search(names) is not None, _DISPLAY_CLASS.search(names) is not None


def _is_formula_address(source: str) -> bool:
    lowered = source.lower()
    if _PROGRAM.search("/" + lowered):
        return True
    return "codecogs" in lowered and _CODECOGS.search(lowered) is not None


def _address_tex(source: str) -> str:
    if "?" not in source:
        return ""
    query = source.split("?", 1)[1]
    found = _QUERY_TEX.search("?" + query)
    if "chart" in source and not (found and "cht=tx" in query):
        return ""
    if found is None and "=" in query.split("%", 1)[0].split("\\", 1)[0] and "latex.php" in source:
        return ""
    raw = found[1] if found else query
    return unquote(raw.replace("+", " ") if found else raw).replace("&space;", " ").replace("&plus;", "+")


def _tidy(tex: str) -> str:
    tex = tex.strip()
    if tex[:1] == "\\" and (size := _SIZE_WORDS.match(tex)):
        tex = tex[size.end() :]
    tex = unwrap_displaystyle(clean_tex(tex))
    return " ".join(tex.split())

r"""Does a text have LaTeX in it?  OpenWebMath's list of commands, asked for as whole commands.

OpenWebMath looks for its commands as substrings, so that "\em" is found in "C:\emacs" and "\be" in "\beta"; here a
command ends where its letters end, and one that follows a drive letter ("C:\em") is a path.
"""

from __future__ import annotations

import re

# keirp/OpenWebMath, extract_from_cc/extract_from_warc.py, `latex_math_commands`: the most frequent ones of arXiv.
_NAMES = (
    "end begin ref frac label bf right left rm alpha mu def it pi sigma sum lambda beta nu partial int delta rho "
    "phi gamma omega over nonumber bar sqrt theta tau em rangle hat tilde cal hline item psi vec langle epsilon "
    "eta cdot in xi infty quad mathcal times emph mathbf prime be mathrm ee vspace pm chi ell text qquad noindent "
    "to varphi hspace leq cos eqref overline sin kappa hbox rightarrow varepsilon textit dagger big otimes equiv "
    "zeta dot ln"
)
COMMANDS = frozenset(_NAMES.split())
_COMMAND = re.compile(
    r"(?<![A-Za-z]:)(?<!\\)\\(" + "|".join(sorted(COMMANDS, key=len, reverse=True)) + r")(?![A-Za-z])"
)


def count_commands(text: str, limit: int = 1) -> int:
    """How many of the commands stand in a text, counted up to `limit`."""
    found = 0
    if "\\" in text:
        for _ in _COMMAND.finditer(text):
            found += 1
            if found >= limit:
                break
    return found


def has_commands(text: str) -> bool:
    """True if one of the commands stands in the text."""
    return "\\" in text and _COMMAND.search(text) is not None


def has_latex(text: str) -> bool:
    r"""True if one of the commands or a delimited formula stands in the text: $x^2 + y^2 = 1$ has no command.

    Both are looked for outside code: `$HOME/bin:$PATH` is no formula, and `r"\bf[a-z]*"` no command.
    """
    if "$" not in text and "\\" not in text:
        return False
    from proof_pile.quality.prose import CODE, FORMULAS, bytes_of, prose, prose_text

    if has_commands(prose_text(text, CODE) if "`" in text else text):
        return True
    return prose(bytes_of(text), FORMULAS | CODE)[1] > 0

"""Names that the reader knows: functions, constants, operators, spacing, decorations. All from LaTeX's own lists
(amsmath, amssymb) and from what plain-text mathematics and computer algebra systems write, unless a line says else."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words of a text: how long lists of names are written here."""
    return text.split()


# function name -> canonical name
FUNCTIONS: dict[str, str] = {
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "exp")},
    **{name: name for name in ("ln", "log", "floor", "gcd", "lcm", "min", "max", "det", "sgn", "erf")},
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan",
    "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "arsinh": "asinh", "arcosh": "acosh",
    "artanh": "atanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "tg": "tan", "ctg": "cot", "arctg": "atan", "cosec": "csc",
    "lg": "log10", "abs": "abs", "ceil": "ceil", "ceiling": "ceil", "Re": "re", "Im": "im", "re": "re",
    "im": "im", "conj": "conj", "factorial": "factorial", "binomial": "binom", "sqrt": "sqrt", "cbrt": "cbrt",
    "Gamma": "gamma", "Abs": "abs", "cis": "cis", "sign": "sgn",
}  # fmt: skip
INVERSES = {
    "sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sec": "asec", "csc": "acsc",
    "sinh": "asinh", "cosh": "acosh", "tanh": "atanh",
}  # fmt: skip
CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "Infinity": "inf", "inf": "inf", "oo": "inf"}
GREEK = frozenset(
    words(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi "
        "omicron rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Delta Theta Lambda Xi "
        "Pi Sigma Upsilon Phi Psi Omega ell hbar aleph"
    )
)
GREEK_VARIANTS = {
    "varepsilon": "epsilon",
    "vartheta": "theta",
    "varrho": "rho",
    "varphi": "phi",
    "varsigma": "sigma",
}
# LaTeX command -> operator token
OPERATORS: dict[str, str] = {
    "cdot": "*", "times": "*", "ast": "*", "bullet": "*", "div": "/", "pm": "pm", "mp": "mp",
    "le": "<=", "leq": "<=", "leqslant": "<=", "leqq": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=",
    "geqq": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=", "in": "in", "notin": "notin", "cup": "cup",
    "bigcup": "cup", "cap": "cap", "bigcap": "cap", "setminus": "setminus", "smallsetminus": "setminus",
    "backslash": "setminus", "mid": "|", "vert": "|", "lvert": "|", "rvert": "|", "colon": ":",
    "lbrace": "lb", "rbrace": "rb", "langle": "<<", "rangle": ">>", "lfloor": "lfloor", "rfloor": "rfloor",
    "lceil": "lceil", "rceil": "rceil", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
    "approx": "~", "simeq": "~", "equiv": "==", "degree": "deg", "circ": "circ",
    "prime": "'", "lor": "or", "vee": "or", "land": "and", "wedge": "and", "to": "->", "rightarrow": "->",
    "implies": "=>", "Rightarrow": "=>", "iff": "=>", "Leftrightarrow": "=>", "cr": "nl", "newline": "nl",
    "tabularnewline": "nl", "dots": "...", "ldots": "...", "cdots": "...", "vdots": "...", "dotsc": "...",
    "over": "over", "choose": "choose", "And": "&", "lVert": "||", "rVert": "||", "Vert": "||", "coloneqq": "=",
    "percent": "%",
}  # fmt: skip
ESCAPES = {
    "{": "lb", "}": "rb", "%": "%", "$": "$", "\\": "nl", "|": "||", "&": "and", "#": "#", "_": "_", '"': "", "'": "'",
    "(": "", ")": "", "[": "", "]": "",
}  # fmt: skip
IGNORED = frozenset(
    words(
        "displaystyle textstyle scriptstyle scriptscriptstyle left right big Big bigg Bigg bigl bigr "
        "Bigl Bigr biggl biggr Biggl Biggr limits nolimits boxed fbox mathstrut nonumber notag rm bf it "
        "sf tt cal mathop mathrel mathbin mathord strut allowbreak nobreak null hfill noindent relax "
        "ensuremath quad qquad thinspace enspace space negthinspace medspace thickspace normalsize "
        "large Large small mathclose mathopen middle hline angle triangle measuredangle underline vec "
        "hat widehat bm boldsymbol overrightarrow overleftrightarrow mathit mathrm mathbf mathsf mathtt "
        "mathcal mathscr mathfrak pmb operatorname"
    )
)
TEXT_COMMANDS = "text|textbf|textit|textrm|textsf|texttt|textnormal|textup|mbox|hbox|emph|textsc"
FONT_COMMANDS = "mathrm|mathbf|mathit|mathsf|mathtt|mathcal|operatorname\\*?|boldsymbol|bm"
ENVIRONMENTS = frozenset(
    words(
        "matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix psmallmatrix bsmallmatrix array "
        "cases aligned align gathered split alignedat"
    )
)
RELATIONS = frozenset(("=", "<", ">", "<=", ">=", "!=", "in", "notin", "~", "==", "=>", "->"))
NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty"
        )
    )
}

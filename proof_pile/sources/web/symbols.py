"""Characters of mathematical text and the LaTeX commands for them.  Source: Unicode names, unicode-math's table."""

from __future__ import annotations

SYMBOLS: dict[str, str] = {
    "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "≅": r"\cong",
    "∝": r"\propto",
    "×": r"\times", "·": r"\cdot", "⋅": r"\cdot", "÷": r"\div", "±": r"\pm", "∓": r"\mp", "∘": r"\circ", "⊕": r"\oplus",
    "⊗": r"\otimes", "∗": "*", "−": "-", "∈": r"\in", "∉": r"\notin", "∋": r"\ni", "⊂": r"\subset", "⊆": r"\subseteq",
    "⊃": r"\supset", "⊇": r"\supseteq", "∪": r"\cup", "∩": r"\cap", "∖": r"\setminus", "∅": r"\emptyset",
    "∀": r"\forall",
    "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee", "→": r"\to", "←": r"\leftarrow",
    "↔": r"\leftrightarrow",
    "⇒": r"\Rightarrow", "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow", "↦": r"\mapsto", "∞": r"\infty", "∂": r"\partial",
    "∇": r"\nabla", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∬": r"\iint", "∮": r"\oint", "√": r"\surd",
    "∠": r"\angle",
    "⊥": r"\perp", "∥": r"\parallel", "∣": r"\mid", "…": r"\dots", "⋯": r"\cdots", "⋮": r"\vdots", "⋱": r"\ddots",
    "′": "'", "″": "''", "ℓ": r"\ell", "ℏ": r"\hbar", "ℜ": r"\Re", "ℑ": r"\Im", "ℵ": r"\aleph", "⟨": r"\langle",
    "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|", "{": r"\{",
    "}": r"\}",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "ϵ": r"\epsilon", "ζ": r"\zeta",
    "η": r"\eta", "θ": r"\theta", "ϑ": r"\vartheta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu",
    "ν": r"\nu", "ξ": r"\xi", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "ς": r"\varsigma", "τ": r"\tau",
    "υ": r"\upsilon", "φ": r"\varphi", "ϕ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma",
    "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon",
    "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega", "ℕ": r"\mathbb{N}", "ℤ": r"\mathbb{Z}", "ℚ": r"\mathbb{Q}",
    "ℝ": r"\mathbb{R}", "ℂ": r"\mathbb{C}", "ℙ": r"\mathbb{P}", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$",
}  # fmt: skip
INVISIBLE = "\u2061\u2062\u2063\u2064\u200b"

_MORE_SYMBOLS = {
    "≪": r"\ll", "≫": r"\gg", "≺": r"\prec", "≻": r"\succ", "⪯": r"\preceq", "⪰": r"\succeq", "≼": r"\preceq",
    "≽": r"\succeq", "⩽": r"\leqslant", "⩾": r"\geqslant", "≦": r"\leqq", "≧": r"\geqq", "≲": r"\lesssim",
    "≳": r"\gtrsim", "≃": r"\simeq", "≐": r"\doteq", "≜": r"\triangleq", "≔": r"\coloneqq", "≕": r"\eqqcolon",
    "≢": r"\not\equiv", "≁": r"\nsim", "≮": r"\nless", "≯": r"\ngtr", "≰": r"\nleq", "≱": r"\ngeq", "∄": r"\nexists",
    "⊄": r"\not\subset", "⊈": r"\nsubseteq", "⊊": r"\subsetneq", "⊋": r"\supsetneq", "⊏": r"\sqsubset",
    "⊑": r"\sqsubseteq", "⊒": r"\sqsupseteq", "⊓": r"\sqcap", "⊔": r"\sqcup", "⊎": r"\uplus", "⊖": r"\ominus",
    "⊘": r"\oslash", "⊙": r"\odot", "⊚": r"\circledcirc", "⊞": r"\boxplus", "⊠": r"\boxtimes", "⊢": r"\vdash",
    "⊣": r"\dashv", "⊤": r"\top", "⊨": r"\models", "⊩": r"\Vdash", "⊬": r"\nvdash", "⊭": r"\nvDash", "⊲": r"\lhd",
    "⊳": r"\rhd", "⊴": r"\unlhd", "⊵": r"\unrhd", "⊻": r"\veebar", "⋀": r"\bigwedge", "⋁": r"\bigvee",
    "⋂": r"\bigcap", "⋃": r"\bigcup", "⋄": r"\diamond", "⋆": r"\star", "★": r"\bigstar", "⋈": r"\bowtie",
    "⋉": r"\ltimes", "⋊": r"\rtimes", "⋰": r"\iddots", "∐": r"\coprod", "∔": r"\dotplus", "∕": "/", "∙": r"\bullet",
    "•": r"\bullet", "∛": r"\sqrt[3]{}", "∟": r"\llcorner", "∡": r"\measuredangle", "∢": r"\sphericalangle",
    "∤": r"\nmid", "∦": r"\nparallel", "∭": r"\iiint", "∯": r"\oiint", "∰": r"\oiiint", "∴": r"\therefore",
    "∵": r"\because", "∶": ":", "∷": "::", "≀": r"\wr", "≍": r"\asymp", "≎": r"\Bumpeq", "≏": r"\bumpeq",
    "⨁": r"\bigoplus", "⨂": r"\bigotimes", "⨀": r"\bigodot", "⨆": r"\bigsqcup", "⨅": r"\bigsqcap", "⨄": r"\biguplus",
    "⨯": r"\times", "⨿": r"\amalg", "⟶": r"\longrightarrow", "⟵": r"\longleftarrow", "⟷": r"\longleftrightarrow",
    "⟹": r"\implies", "⟸": r"\impliedby", "⟺": r"\iff", "⟼": r"\longmapsto", "↑": r"\uparrow", "↓": r"\downarrow",
    "↕": r"\updownarrow", "⇑": r"\Uparrow", "⇓": r"\Downarrow", "⇕": r"\Updownarrow", "↗": r"\nearrow",
    "↘": r"\searrow", "↙": r"\swarrow", "↖": r"\nwarrow", "↪": r"\hookrightarrow", "↩": r"\hookleftarrow",
    "↠": r"\twoheadrightarrow", "↣": r"\rightarrowtail", "⇀": r"\rightharpoonup", "⇁": r"\rightharpoondown",
    "↼": r"\leftharpoonup", "⇌": r"\rightleftharpoons", "⇋": r"\leftrightharpoons", "⇝": r"\rightsquigarrow",
    "↝": r"\leadsto", "↛": r"\nrightarrow", "↚": r"\nleftarrow", "↾": r"\restriction", "↺": r"\circlearrowleft",
    "↻": r"\circlearrowright", "⤳": r"\leadsto", "†": r"\dagger", "‡": r"\ddagger", "§": r"\S", "¶": r"\P",
    "‴": "\'\'\'", "‵": r"\backprime", "°": r"^{\circ}", "□": r"\square", "◻": r"\square", "■": r"\blacksquare",
    "◼": r"\blacksquare", "△": r"\triangle", "▵": r"\triangle", "▽": r"\triangledown", "◊": r"\lozenge",
    "○": r"\bigcirc", "◯": r"\bigcirc", "♯": r"\sharp", "♭": r"\flat", "♮": r"\natural", "♠": r"\spadesuit",
    "♡": r"\heartsuit", "♢": r"\diamondsuit", "♣": r"\clubsuit", "✓": r"\checkmark", "ℶ": r"\beth", "ℷ": r"\gimel",
    "ℸ": r"\daleth", "℘": r"\wp", "ð": r"\eth", "℧": r"\mho", "Ⅎ": r"\Finv", "∁": r"\complement", "ı": r"\imath",
    "ȷ": r"\jmath", "ϰ": r"\varkappa", "ϱ": r"\varrho", "ϖ": r"\varpi", "Ϝ": r"\digamma", "ϝ": r"\digamma",
    "ⅆ": "d", "ⅅ": "D", "ⅇ": "e", "ⅈ": "i", "ⅉ": "j", "ℂ": r"\mathbb{C}", "ℍ": r"\mathbb{H}", "ℋ": r"\mathcal{H}",
    "ℒ": r"\mathcal{L}", "ℰ": r"\mathcal{E}", "ℱ": r"\mathcal{F}", "ℬ": r"\mathcal{B}", "ℳ": r"\mathcal{M}",
    "ℛ": r"\mathcal{R}", "ℐ": r"\mathcal{I}", "ℊ": r"\mathcal{g}", "ℯ": r"\mathcal{e}", "ℴ": r"\mathcal{o}",
    "ℌ": r"\mathfrak{H}", "ℨ": r"\mathfrak{Z}", "ℭ": r"\mathfrak{C}", "‖": r"\|", "∥": r"\parallel", "∣": r"\mid",
    "〈": r"\langle", "〉": r"\rangle", "⟦": r"\llbracket", "⟧": r"\rrbracket", "⌜": r"\ulcorner", "⌝": r"\urcorner",
    "⌞": r"\llcorner", "⌟": r"\lrcorner", "⎰": r"\lmoustache", "⎱": r"\rmoustache", "⟮": r"\lgroup", "⟯": r"\rgroup",
    "∖": r"\setminus", "⧵": r"\setminus", "‑": "-", "‐": "-", "–": "-", "—": "-", "\u00a0": " ", "ⁿ": "^{n}",
    "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "²": "^{2}", "³": "^{3}", "¹": "^{1}",
    "\\": r"\backslash", "_": r"\_",
}  # fmt: skip
SYMBOLS.update((char, tex) for char, tex in _MORE_SYMBOLS.items() if char not in SYMBOLS)

# Blocks of mathematical alphabets: first code point, letters from, command.  Source: Unicode 15, 1D400-1D7FF.
_ALPHABETS = [
    (0x1D400, "AZ", r"\mathbf"), (0x1D41A, "az", r"\mathbf"), (0x1D434, "AZ", ""), (0x1D44E, "az", ""),
    (0x1D468, "AZ", r"\boldsymbol"), (0x1D482, "az", r"\boldsymbol"), (0x1D49C, "AZ", r"\mathcal"),
    (0x1D4B6, "az", r"\mathcal"), (0x1D4D0, "AZ", r"\mathcal"), (0x1D4EA, "az", r"\mathcal"),
    (0x1D504, "AZ", r"\mathfrak"), (0x1D51E, "az", r"\mathfrak"), (0x1D538, "AZ", r"\mathbb"),
    (0x1D552, "az", r"\mathbb"), (0x1D56C, "AZ", r"\mathfrak"), (0x1D586, "az", r"\mathfrak"),
    (0x1D5A0, "AZ", r"\mathsf"), (0x1D5BA, "az", r"\mathsf"), (0x1D5D4, "AZ", r"\mathsf"), (0x1D5EE, "az", r"\mathsf"),
    (0x1D608, "AZ", r"\mathsf"), (0x1D622, "az", r"\mathsf"), (0x1D63C, "AZ", r"\mathsf"), (0x1D656, "az", r"\mathsf"),
    (0x1D670, "AZ", r"\mathtt"), (0x1D68A, "az", r"\mathtt"), (0x1D7CE, "09", r"\mathbf"), (0x1D7D8, "09", r"\mathbb"),
    (0x1D7E2, "09", r"\mathsf"), (0x1D7EC, "09", r"\mathsf"), (0x1D7F6, "09", r"\mathtt"),
]  # fmt: skip
_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡϴΣΤΥΦΧΨΩ∇αβγδεζηθικλμνξοπρςστυφχψω∂ϵϑϰϕϱϖ"
_GREEK_STARTS = [(0x1D6A8, r"\boldsymbol"), (0x1D6E2, ""), (0x1D71C, r"\boldsymbol"), (0x1D756, r"\boldsymbol"),
                 (0x1D790, r"\boldsymbol")]  # fmt: skip
_LATIN_GREEK = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
SYMBOLS.update((char, latin) for char, latin in _LATIN_GREEK.items() if char not in SYMBOLS)


def _add_alphabets() -> None:
    for start, ends, command in _ALPHABETS:
        first, last = ends[0], ends[1]
        for number in range(ord(last) - ord(first) + 1):
            letter = chr(ord(first) + number)
            SYMBOLS[chr(start + number)] = f"{command}{{{letter}}}" if command else letter
    for start, command in _GREEK_STARTS:
        for number, letter in enumerate(_GREEK):
            tex = SYMBOLS.get(letter, letter)
            SYMBOLS[chr(start + number)] = f"{command}{{{tex}}}" if command else tex


_add_alphabets()

INVISIBLE = "\u2061\u2062\u2063\u2064\u200b"
FUNCTIONS = frozenset(
    [
        "arccos",
        "arcsin",
        "arctan",
        "arg",
        "cos",
        "cosh",
        "cot",
        "csc",
        "deg",
        "det",
        "dim",
        "exp",
        "gcd",
        "hom",
        "inf",
        "ker",
        "lim",
        "liminf",
        "limsup",
        "ln",
        "log",
        "max",
        "min",
        "mod",
        "Pr",
        "sec",
        "sin",
        "sinh",
        "sup",
        "tan",
        "tanh",
    ]
)
ACCENTS = {
    "^": r"\hat", "ˆ": r"\hat", "~": r"\tilde", "˜": r"\tilde", "¯": r"\overline", "‾": r"\overline",
    "_": r"\underline",
    "→": r"\vec", "⃗": r"\vec", "˙": r"\dot", "¨": r"\ddot", "⏞": r"\overbrace", "⏟": r"\underbrace",
}  # fmt: skip
FONTS = {
    "bold": r"\mathbf", "double-struck": r"\mathbb", "script": r"\mathcal", "fraktur": r"\mathfrak",
    "sans-serif": r"\mathsf", "monospace": r"\mathtt", "bold-italic": r"\boldsymbol",
}  # fmt: skip
FENCES = {"(": "(", ")": ")", "[": "[", "]": "]", "|": "|", "∣": "|", "{": r"\{", "}": r"\}", "⟨": r"\langle",
          "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "": "."}  # fmt: skip

r"""One HTML page to Markdown-like text: boilerplate goes, equations stay.

Inline formulas come out as $...$, displayed ones as $$...$$ on lines of their own, whichever way the page wrote them:
MathJax delimiters and scripts, KaTeX and MathML annotations, alttext, plain MathML, images with TeX in their
alt.  Where a page does not use $ as a delimiter, a literal $ is escaped.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from proof_pile.sources.mathml import TooDeepError, math_element_tex, tex_annotation

MAX_DEPTH = 120  # text below it is taken flat: each level costs four Python frames
MAX_LINK_DENSITY = 0.8  # OpenWebMath's rule for a block that is only links

_DROPPED = frozenset(
    [
        "style",
        "nav",
        "footer",
        "aside",
        "form",
        "button",
        "input",
        "select",
        "textarea",
        "noscript",
        "iframe",
        "svg",
        "canvas",
        "object",
        "embed",
        "video",
        "audio",
        "template",
        "dialog",
        "menu",
        "head",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_JUDGED_BLOCKS = frozenset(["div", "ul", "ol", "dl", "table", "section", "p", "td"])
_BOILERPLATE = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|navbox|menu|sidebar|breadcrumbs?|footer|cookie|cookies|consent|share|sharing|"
    r"social|advert|advertisement|ads|sponsor|popup|modal|newsletter|subscribe|related|skip-link|pagination|pager|login|"
    r"signup|toolbar|masthead|site-header|mw-editsection|noprint|printfooter|catlinks)(?:$|[\s_-])",
    re.IGNORECASE,
)
_RENDERED = re.compile(
    r"(?:^|\s)(?:MathJax|MathJax_Display|MathJax_Preview|MathJax_SVG|MathJax_CHTML|MJX\S*|katex-html)(?:$|\s)"
)
_DOLLAR_CONFIG = re.compile(r"\[\s*['\"]\$['\"]\s*,\s*['\"]\$['\"]\s*\]|left:\s*['\"]\$['\"]\s*,")
_TEX_IMAGE = re.compile(r"latex\.codecogs\.com/|/latex\.php\?|mimetex\.cgi\?|mathtex\.cgi\?|tex\.cgi\?")
_INLINE = re.compile(r"\\\(((?:(?!\\\().){1,5000}?)\\\)", re.DOTALL)
_DISPLAY = re.compile(r"\\\[((?:(?!\\\[).){1,20000}?)\\\]", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n\f]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What was taken from a page."""

    title: str
    text: str
    num_formulas: int


def extract_page(markup: str) -> Page:
    """Title and text of a page, its equations delimited by dollar signs."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(markup)
    title_node = tree.css_first("title")
    title = _SPACE.sub(" ", title_node.text(deep=True) or "").strip()[:500] if title_node is not None else ""
    root = _main_node(tree)
    writer = _Writer(dollars=_DOLLAR_CONFIG.search(markup) is not None)
    if root is not None:
        writer.write_children(root, 0)
    text = writer.finish()
    heading = re.match(r"#+ ", text)
    if title and text and not heading:
        text = f"# {title}\n\n{text}"
    return Page(title=title, text=text, num_formulas=writer.num_formulas)


def _main_node(tree: Any) -> Any:
    """The element that holds the page's main text: <main>, one lone <article>, else <body>."""
    body = tree.body
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and len(found[0].text(deep=True) or "") >= 200:
            return found[0]
    return body if body is not None else tree.root


class _Writer:
    """Collects the text of one page; `start`/`undo` take back a block that turns out to be only links."""

    def __init__(self, *, dollars: bool) -> None:
        self.parts: list[str] = []
        self.dollars = dollars
        self.num_formulas = 0
        self.chars = 0
        self.link_chars = 0
        self.links = 0
        self.lists: list[int | None] = []
        self.in_link = False
        self.in_pre = False

    def write_children(self, node: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._text(node.text(deep=True) or "")
            return
        child = node.child
        while child is not None:
            self.write(child, depth + 1)
            child = child.next

    def write(self, node: Any, depth: int) -> None:
        tag = node.tag
        if tag == "-text":
            self._text(node.text_content or "")
            return
        if tag.startswith(("-", "!", "_")):
            return  # comments, doctypes
        attributes = node.attributes
        names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}".strip()
        if self._formula(node, tag, attributes, names):
            return
        if tag == "script" or tag in _DROPPED or "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return
        if attributes.get("role") in ("navigation", "banner", "contentinfo", "complementary", "search"):
            return
        if names and tag not in ("body", "html", "main", "article") and _BOILERPLATE.search(names):
            return
        if tag in _BLOCKS or tag == "br":
            self._block(node, tag, depth)
        else:
            self._inline(node, tag, depth)

    def _formula(self, node: Any, tag: str, attributes: dict[str, Any], names: str) -> bool:
        """Writes the node if it is a formula, or passes over it if it is a rendering of one; says whether it did."""
        if tag == "script":
            kind = (attributes.get("type") or "").lower()
            if kind.startswith("math/tex"):
                self._math(node.text(deep=True) or "", display="mode=display" in kind)
            elif kind.startswith("math/asciimath"):
                self._emit(f" `{(node.text(deep=True) or '').strip()}` ")
            return kind.startswith("math/")
        if tag == "math":
            display = attributes.get("display") == "block" or attributes.get("mode") == "display"
            try:
                self._math(math_element_tex(node), display=display)
            except TooDeepError:
                self._emit(_SPACE.sub(" ", (node.text(deep=True) or "")[:2000]))
            return True
        if tag == "img":
            self._image(attributes, names)
            return True
        if tag == "mjx-container" or " katex " in f" {names} ":
            found = node.css_first("math")
            if found is None:
                return False
            shown = attributes.get("display") == "true" or found.attributes.get("display") == "block"
            with contextlib.suppress(TooDeepError):
                self._math(tex_annotation(node) or math_element_tex(found), display=shown)
            return True
        return bool(names and _RENDERED.search(names))

    def _image(self, attributes: dict[str, Any], names: str) -> None:
        source, alt = attributes.get("src") or "", (attributes.get("alt") or "").strip()
        if "mwe-math-fallback" in names:
            return  # the <math> element stands beside it
        address = _TEX_IMAGE.search(source)
        if re.search(r"(?:^|\s)(?:latex|tex)(?:$|\s)", names) or address:
            query = unquote(source.split("?", 1)[-1]).removeprefix("latex=").split("&")[0].replace("+", " ")
            tex = alt or (query if address else "")
            self._math(re.sub(r"^\$+|\$+$", "", tex), display=False)

    def _math(self, tex: str, *, display: bool) -> None:
        tex = tex.strip()
        if tex.startswith(("<![CDATA[", "% <![CDATA[")):
            tex = re.sub(r"(?:%\s*)?(?:<!\[CDATA\[|\]\]>)", "", tex).strip()
        if not tex:
            return
        self.num_formulas += 1
        self.chars += len(tex)
        self._emit(f"\n\n$${tex}$$\n\n" if display else f"${tex}$")

    def _text(self, text: str) -> None:
        if self.in_pre:
            self._emit(text)
            return
        if not text.strip():
            if text:
                self._emit(" ")
            return
        if not self.dollars and "$" in text:
            text = _escape_lone_dollars(text)
        if "\\" in text:
            text, inline = _INLINE.subn(lambda m: f"${m[1].strip()}$", text)
            text, displayed = _DISPLAY.subn(lambda m: f"\0$${_SPACE.sub(' ', m[1]).strip()}$$\0", text)
            self.num_formulas += inline + displayed
        self.num_formulas += text.count("$$") // 2 - text.count("\0") // 2
        text = _SPACE.sub(" ", text).replace("\0", "\n\n")
        self.chars += len(text)
        if self.in_link:
            self.link_chars += len(text)
        self._emit(text)

    def _block(self, node: Any, tag: str, depth: int) -> None:
        if tag == "br":
            self._emit("\n")
        elif tag == "hr":
            self._emit("\n\n")
        elif tag == "pre":
            self.in_pre = True
            self._emit("\n\n```\n")
            self.write_children(node, depth)
            self._emit("\n```\n\n")
            self.in_pre = False
        elif tag in ("td", "th"):
            self.write_children(node, depth)
            self._emit(" | ")
        elif tag == "tr":
            self._emit("\n| ")
            self.write_children(node, depth)
        elif tag == "li":
            number = self.lists[-1] if self.lists else None
            self._emit("\n- " if number is None else f"\n{number}. ")
            if number is not None:
                self.lists[-1] = number + 1
            self.write_children(node, depth)
        else:
            self._judged_block(node, tag, depth)

    def _judged_block(self, node: Any, tag: str, depth: int) -> None:
        start, before = len(self.parts), (self.chars, self.link_chars, self.links)
        self._emit("\n\n")
        if tag[0] == "h" and tag[1:].isdigit():
            self._emit("#" * int(tag[1]) + " ")
        if tag in ("ul", "ol"):
            self.lists.append(1 if tag == "ol" else None)
        self.write_children(node, depth)
        if tag in ("ul", "ol"):
            self.lists.pop()
        self._emit("\n\n")
        chars, link_chars, links = self.chars - before[0], self.link_chars - before[1], self.links - before[2]
        if tag in _JUDGED_BLOCKS and links >= 3 and link_chars > MAX_LINK_DENSITY * chars:
            del self.parts[start:]
            self._emit("\n\n")
            self.chars, self.link_chars, self.links = before

    def _inline(self, node: Any, tag: str, depth: int) -> None:
        if tag == "a":
            outer, self.in_link = self.in_link, True
            self.links += 1
            self.write_children(node, depth)
            self.in_link = outer
        elif tag in ("code", "kbd", "samp", "tt") and not self.in_pre:
            self.in_pre = True
            self._emit("`")
            self.write_children(node, depth)
            self._emit("`")
            self.in_pre = False
        elif tag in ("sup", "sub") and not self.in_pre:
            start = len(self.parts)
            self.write_children(node, depth)
            inner = "".join(self.parts[start:]).strip()
            del self.parts[start:]
            if inner and not re.fullmatch(r"\[[^\]]{0,30}\]", inner):  # [1] is a footnote mark
                self._emit(("^" if tag == "sup" else "_") + (inner if len(inner) == 1 else "{" + inner + "}"))
        else:
            self.write_children(node, depth)

    def _emit(self, text: str) -> None:
        self.parts.append(text)

    def finish(self) -> str:
        """The collected text with its white space set in order."""
        pieces = "".join(self.parts).split("```")
        for number in range(0, len(pieces), 2):
            piece = re.sub(r"[ \t]+", " ", pieces[number])
            piece = re.sub(r" ?\n ?", "\n", piece)
            pieces[number] = re.sub(r"\n{3,}", "\n\n", piece)
        text = "```".join(pieces).replace(" |\n", " |\n").strip()
        return text + "\n" if text else ""


def _escape_lone_dollars(text: str) -> str:
    r"""The text with every $ that is not part of a $$ pair written \$."""
    return re.sub(r"(?<![\\$])\$(?!\$)", r"\\$", text)

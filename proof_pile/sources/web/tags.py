"""What a tag means for the text of a page.

A tag is judged once for each way it is written; pages repeat the same few hundred tags, so that the judgement is
a look-up of the scanner for nearly all of them.
"""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple


class Op:
    """What the writer does at a tag.  Plain numbers: an enumeration's hash and comparison cost as much as the rest."""

    NOTHING = 0
    TEXT = 1  # no tag after all
    SPAN = 2
    SPAN_END = 3
    BLOCK = 4
    END = 5
    LINK = 6
    LINK_END = 7
    LINE = 8
    IMAGE = 9
    PIECE = 10  # an inline element whose content is looked at as a whole
    RULE = 11
    CLASSIFIER = 12  # docutils sets its colon by a style sheet


class Kind:
    """What an element that the writer keeps on its stack is."""

    PLAIN = 0
    SKIPPED = 1  # nothing of it is written
    RENDERED = 2  # nothing but formulas that were lifted out of it
    CODE = 3
    PRE = 4
    SUP = 5
    SUB = 6
    MATH = 7  # its text is a formula, perhaps without delimiters
    MATH_BLOCK = 8
    HEADING = 9
    LIST = 10
    ITEM = 11
    TABLE = 12
    ROW = 13
    CELL = 14
    JUDGED = 15  # a block that may be nothing but links
    MAIN = 16


class Action(NamedTuple):
    """What the writer does at a tag, for which element."""

    op: int
    name: str
    kind: int = Kind.PLAIN
    mark: str = ""


NOTHING = Action(Op.NOTHING, "")
TEXT = Action(Op.TEXT, "")

_IGNORED = frozenset(
    [
        "b",
        "i",
        "em",
        "strong",
        "u",
        "s",
        "small",
        "big",
        "font",
        "ins",
        "del",
        "mark",
        "abbr",
        "acronym",
        "cite",
        "dfn",
        "q",
        "bdi",
        "bdo",
        "ruby",
        "rb",
        "rt",
        "rp",
        "rtc",
        "time",
        "data",
        "output",
        "label",
        "wbr",
        "col",
        "colgroup",
        "base",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "area",
        "map",
        "basefont",
        "bgsound",
        "keygen",
        "nobr",
        "blink",
        "marquee",
        "strike",
        "html",
        "head",
        "annotation",
        "semantics",
        "ilayer",
        "layer",
        "spacer",
        "picture",
        "noindex",
        "o:p",
        "form",
        "var",
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "msup",
        "msub",
        "msubsup",
        "mfrac",
        "msqrt",
        "mroot",
        "mstyle",
        "mover",
        "munder",
        "munderover",
        "mtable",
        "mtr",
        "mtd",
        "mlabeledtr",
        "mfenced",
        "menclose",
        "mpadded",
        "mphantom",
        "mprescripts",
        "mmultiscripts",
        "none",
        "merror",
        "maction",
        "mglyph",
    ]
)
_SKIPPED = frozenset(
    [
        "nav",
        "footer",
        "aside",
        "button",
        "dialog",
        "menu",
        "audio",
        "video",
        "canvas",
        "object",
        "applet",
        "frameset",
        "progress",
        "meter",
        "datalist",
        "optgroup",
        "option",
        "svg",
        "style",
        "script",
        "noscript",
        "iframe",
        "template",
        "select",
        "textarea",
        "title",
    ]
)
_VOID_NOTHING = frozenset(["input", "embed", "frame"])
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dir",
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
        "hgroup",
        "legend",
        "li",
        "listing",
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
        "caption",
        "search",
        "plaintext",
        "xmp",
    ]
)
_CODE = frozenset(["code", "kbd", "samp", "tt"])
_JUDGED = frozenset(["div", "ul", "ol", "dl", "section", "p", "dd", "center"])
_KINDS = {
    "pre": Kind.PRE, "listing": Kind.PRE, "xmp": Kind.PRE, "ul": Kind.LIST, "ol": Kind.LIST, "dir": Kind.LIST,
    "li": Kind.ITEM, "table": Kind.TABLE, "tr": Kind.ROW, "td": Kind.CELL, "th": Kind.CELL, "main": Kind.MAIN,
    "article": Kind.MAIN, **{f"h{n}": Kind.HEADING for n in range(1, 7)},
}  # fmt: skip

_ANCHORS = frozenset(["a", "p", "dt", "dd", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr"])
MAX_TAG_BYTES = 20_000  # chosen by us: a longer tag is judged by its name alone
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
_ATTRIBUTE = re.compile(
    r"""[\s"'/]([a-zA-Z][a-zA-Z0-9:_-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?(?=[\s/>"']|$)"""
)
_PLAIN_TAG = re.compile(r"""<[a-z0-9]+(?:\s[a-z][a-z0-9-]*="[^"<>]*")*\s?/?>""")
_PLAIN_ATTRIBUTE = re.compile(r"""\s([a-z][a-z0-9-]*)="([^"<>]*)\"""")
_WORDS = (
    r"nav|navbar|navigation|navlinks?|navpath|navheader|navfooter|navigate|navbox|topnav|sidenav|navlist|menu|menubar|"
    r"sidebar|sphinxsidebar|sidebarwrapper|breadcrumbs?|crumbs?|footer|cookies?|cookiebar|gdpr|consent|share|sharing|"
    r"sharebar|sharedaddy|addthis|addtoany|social|socialmedia|advert|adverts|advertisement|ads|adsbygoogle|adbox|"
    r"sponsor|sponsored|popup|modal|lightbox|newsletter|subscribe|subscription|related|relatedposts|jp-relatedposts|"
    r"skip-link|skiplink|screen-reader-text|sr-only|pagination|pager|paginator|login|signup|signin|toolbar|masthead|"
    r"site-header|mw-editsection|noprint|printfooter|catlinks|mw-jump-link|mw-indicators|siteNotice|toc|tocwrapper|"
    r"table-of-contents|contents-sidebar|headerlink|anchorjs-link|linenos|lineno|linenumbers|gutter|copybutton|"
    r"nav-panel|navbuttons|prev-next|prev-next-area|prev-next-bottom|left-prev|right-next|prevnext|next-prev|post-meta|entry-meta|byline|tagcloud|tag-cloud|blogroll|"
    r"widget|widget-area|search-form|searchbox|searchform|votecell|vote-count-post|js-voting-container|comment-form|"
    r"comment-respond|postmenu|post-menu|user-info|user-details|post-signature|bottom-notice|hot-network-questions|"
    r"ltx_page_navbar|ltx_page_footer|ltx_TOC|viewcode-link|reference-links|disclaimer-bar|rst-versions|ethical-ad|"
    r"wy-nav-side|bd-sidebar|bd-header|bd-toc|page-tools|edit-this-page|edit-link|visually-hidden|visuallyhidden"
)
_BOILERPLATE = re.compile(rf"(?:^|\s)(?:{_WORDS})(?:$|\s)", re.IGNORECASE)
_BOILERPLATE_PART = re.compile(
    r"(?:^|[\s_-])(?:navbar|navigation|navbox|menu|sidebar|breadcrumbs?|footer|cookies?|consent|share|sharing|social|"
    r"advert|advertisement|sponsor|popup|newsletter|subscribe|pagination|pager|login|signup|toolbar)(?:$|[\s_-])",
    re.IGNORECASE,
)
_WHOLE_PAGE = re.compile(r"(?:^|\s)(?:no-?sidebars?|(?:has|with|left|right|one|two|both)[\w-]*sidebars?[\w-]*|"
                         r"sidebar-(?:none|open|collapsed|mini|left|right|first|second|both)[\w-]*|page-wrapper|wrapper|"
                         r"container(?:-fluid)?|layout[\w-]*|content[\w-]*|main[\w-]*)(?:$|\s)", re.IGNORECASE)  # fmt: skip
_COMMENTS = re.compile(
    r"(?:^|\s)(?:comments?|comment-?list|comments-area|disqus_thread|commentlist|comment-section)(?:$|\s)",
    re.IGNORECASE,
)
_RENDERED = re.compile(
    r"(?:^|\s)(?:MathJax|MathJax_Display|MathJax_SVG(?:_Display)?|MathJax_CHTML|MathJax_PlainSource|"
    r"MathJax_MathML|MathJax_Error|mjx-chtml|MJXc-display|mjx-math|katex-html|MathJax_Hidden_\w+)(?:$|\s)"
)
_MATH_CLASS = re.compile(
    r"(?:^|\s)(?:math|tex|latex|math-tex|math-inline|math-display|tex2jax_process|math-container|arithmatex|katex-inline|"
    r"katex-block|katex-eq|wp-katex-eq|ql-formula|eqn|inlinemath|displaymath|mathjax-inline|mathjax-block|"
    r"math-formula|language-math|render-latex)(?:$|\s)",
    re.IGNORECASE,
)
_DISPLAY_CLASS = re.compile(r"display|block", re.IGNORECASE)
_KEPT_HIDDEN = re.compile(r"mwe-math|katex-mathml|MJX_Assistive|math|tex", re.IGNORECASE)
_ROLES = frozenset(["navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alert", "menu"])
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def attributes_of(tag: str) -> dict[str, str]:
    """The attributes of a start tag by lower-case name, entities decoded; of a doubled one the first counts."""
    if _PLAIN_TAG.fullmatch(tag):  # the common case, without a step of Python for each attribute
        plain = dict(reversed(_PLAIN_ATTRIBUTE.findall(tag)))
        if "&" in tag:
            plain = {name: _decoded(value) if "&" in value else value for name, value in plain.items()}
        return plain
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(tag, 1):
        name = match[1].lower()
        if name not in found:
            value = match[2] or match[3] or match[4] or ""
            found[name] = unescape(value) if "&" in value else value
    return found


def _decoded(value: str) -> str:
    if value.count("&") == value.count("&amp;"):  # addresses; one replacement costs a tenth of the general way
        return value.replace("&amp;", "&")
    return unescape(value)


class Judge:
    """Judges tags by the page's kind.

    Values that the scanner leaves out of a tag's hash (addresses, titles, ids of anchors) must not matter here.
    """

    def __init__(self, *, has_math_scripts: bool, drop_comments: bool) -> None:
        self.has_math_scripts = has_math_scripts
        self.drop_comments = drop_comments

    def judge(self, tag: str) -> Action:
        """What the tag means."""
        if len(tag) > MAX_TAG_BYTES // 4 and len(tag.encode("utf-8", "replace")) > MAX_TAG_BYTES:
            match = _NAME.match(tag)
            return self._judge(f"{match[0]}>") if match else NOTHING
        return self._judge(tag)

    def _judge(self, tag: str) -> Action:
        match = _NAME.match(tag)
        if match is None:
            return NOTHING
        name = match[2].lower()
        if match[1]:
            return _end_action(name)
        if name == "br":
            return Action(Op.LINE, name)
        if name == "hr":
            return Action(Op.RULE, name)
        if name == "img" or name == "image":
            return Action(Op.IMAGE, name)
        if name in _IGNORED or name in _VOID_NOTHING:
            return NOTHING
        known = name in _BLOCKS or name in _SKIPPED or name in _CODE or name in ("span", "a", "sup", "sub")
        if not known and "-" not in name and ":" not in name:
            return TEXT
        if tag.endswith("/>") and name not in _BLOCKS and name not in ("span", "a"):
            return NOTHING
        return self._start(name, attributes_of(tag))

    def _start(self, name: str, given: dict[str, str]) -> Action:
        is_block = name in _BLOCKS
        op = Op.BLOCK if is_block or name in _SKIPPED else Op.PIECE
        if name in _SKIPPED:
            return Action(op, name, Kind.SKIPPED)
        names = given.get("class", "")
        if name not in _ANCHORS:
            names = f"{names} {given.get('id', '')}".strip()
        if self._is_rendered(name, names):
            rescue = Kind.SKIPPED if self.has_math_scripts and not name.startswith("mjx") else Kind.RENDERED
            # A rendering of MathJax 2 that lost its script may keep its MathML in an attribute.
            mark = "mathml" if "data-mathml" in given and not self.has_math_scripts else ""
            return Action(op, name, Kind.SKIPPED if "katex-html" in names else rescue, mark)
        if name not in ("body", "main") and _is_hidden(name, given, names):
            return Action(op, name, Kind.SKIPPED)
        if names and name not in ("body", "main", "article", "pre") and self._is_boilerplate(name, names):
            return Action(op, name, Kind.SKIPPED)
        if names and (name in ("span", "div", "p", "pre", "figure") or name in _CODE) and _MATH_CLASS.search(names):
            shown = name == "div" or _DISPLAY_CLASS.search(names) is not None
            return Action(op, name, Kind.MATH_BLOCK if shown else Kind.MATH)
        if name == "a":
            return Action(Op.LINK, name)
        if name == "span":
            return Action(Op.CLASSIFIER if names == "classifier" else Op.SPAN, name)
        if name in _CODE:
            return Action(Op.PIECE, name, Kind.CODE)
        if name in ("sup", "sub"):
            return Action(Op.PIECE, name, Kind.SUP if name == "sup" else Kind.SUB)
        if not is_block:
            return Action(Op.PIECE, name, Kind.PLAIN)
        if name == "div" and "fragment" in names.split():
            return Action(Op.BLOCK, name, Kind.PRE)  # Doxygen's code
        kind = _KINDS.get(name, Kind.JUDGED if name in _JUDGED else Kind.PLAIN)
        mark = ""
        if kind == Kind.HEADING:
            mark = "#" * int(name[1]) + " "
        elif kind == Kind.MAIN or given.get("role") == "main":
            kind, mark = Kind.MAIN, name
        elif kind == Kind.LIST:
            mark = "1" if name == "ol" else ""
        elif kind == Kind.TABLE and re.search(r"eqn|equation|memname|memproto", names, re.IGNORECASE):
            mark = "equation"
        return Action(Op.BLOCK, name, kind, mark)

    def _is_rendered(self, name: str, names: str) -> bool:
        if name in ("mjx-container", "mjx-math"):
            return True
        if not names:
            return False
        if "MathJax_Preview" in names:
            return self.has_math_scripts
        return _RENDERED.search(names) is not None

    def _is_boilerplate(self, name: str, names: str) -> bool:
        if _BOILERPLATE.search(names):
            return True
        if self.drop_comments and _COMMENTS.search(names):
            return True
        if name in ("td", "tr", "table", "tbody"):
            return False
        return _BOILERPLATE_PART.search(names) is not None and _WHOLE_PAGE.search(names) is None


def _is_hidden(name: str, given: dict[str, str], names: str) -> bool:
    if given.get("role", "").lower() in _ROLES:
        return True
    hidden = "hidden" in given or given.get("aria-hidden") == "true"
    if not hidden and "style" in given:
        hidden = _HIDDEN_STYLE.search(given["style"]) is not None
    return hidden and _KEPT_HIDDEN.search(names) is None


def _end_action(name: str) -> Action:
    if name == "span":
        return Action(Op.SPAN_END, name)
    if name == "a":
        return Action(Op.LINK_END, name)
    if name == "br":
        return Action(Op.LINE, name)
    if name in _IGNORED:
        return NOTHING
    if name in _BLOCKS or name in _SKIPPED or name in _CODE or name in ("sup", "sub"):
        return Action(Op.END, name)
    if "-" in name or ":" in name:
        return Action(Op.END, name)
    return NOTHING

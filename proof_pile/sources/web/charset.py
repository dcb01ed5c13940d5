"""The bytes of a page to markup, and what its markup says of the page: its address, whether it is cut off."""

from __future__ import annotations

import codecs
import re
from html import unescape

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"^\s*<\?xml[^>]{0,200}encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})")
_CANONICAL = re.compile(r"<link[^>]{0,500}rel=[\"']canonical[\"'][^>]{0,500}>", re.IGNORECASE)
_HREF = re.compile(r"href=[\"']([^\"']{1,2000})[\"']", re.IGNORECASE)
# As the web reads them (WHATWG Encoding Standard): pages that say latin-1 are windows-1252.
_WEB_NAMES = {"iso-8859-1": "windows-1252", "latin-1": "windows-1252", "latin1": "windows-1252", "ascii":
              "windows-1252", "us-ascii": "windows-1252", "gb2312": "gb18030", "gbk": "gb18030", "iso-8859-9":
              "windows-1254", "x-sjis": "shift_jis", "ks_c_5601-1987": "cp949", "euc-kr": "cp949"}  # fmt: skip


def decode_page(data: bytes, http_charset: str = "") -> tuple[str, str]:
    """The page as text and the charset used.

    A byte order mark decides; else UTF-8 where the bytes are that (few other texts are, whatever they declare), else
    what the server, the page's <meta> or its XML head declare, else windows-1252.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError as error:
        if error.start > len(data) - 4 and not data[: error.start].isascii():  # cut in the middle of a character
            return data.decode("utf-8-sig", "replace"), "utf-8"
    for charset in (http_charset, *_declared(data[:4096])):
        name = _python_name(charset)
        if name is None:
            continue
        if name == "utf-8":
            return data.decode("utf-8-sig", "replace"), "utf-8 with errors"
        return data.decode(name, "replace"), name
    return data.decode("windows-1252", "replace"), "windows-1252"


def _declared(head: bytes) -> list[str]:
    found = [pattern.search(head) for pattern in (_CHARSET, _XML_CHARSET)]
    return [match[1].decode("ascii") for match in found if match]


def _python_name(charset: str) -> str | None:
    """Python's name of a text encoding; None for one that it has not got, or that is no encoding of text."""
    name = charset.strip().strip("\"'").lower()
    name = _WEB_NAMES.get(name, name)
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Codecs such as "zip" and "unicode_escape" are no charsets, and some of them expand without bound.
    if not getattr(info, "_is_text_encoding", True) or info.name in ("idna", "punycode", "unicode_escape", "undefined",
                                                                     "raw_unicode_escape", "utf-7", "mbcs", "oem"):  # fmt: skip
        return None
    return str(info.name)


def cut_off_inside(markup: str) -> str | None:
    """What the page breaks off in ("a tag", "a script", "a comment"), None where it ends in order.

    Pages may leave out </body> and </html>; only an end within a construct is a cut.
    """
    tail = markup[-100_000:]
    if tail.rfind("<!--") > tail.rfind("-->"):
        return "a comment"
    lower = tail.lower()
    for tag in ("script", "style", "textarea", "math", "svg"):
        opened = max(lower.rfind(f"<{tag} "), lower.rfind(f"<{tag}>"))
        if opened > lower.rfind(f"</{tag}"):
            return f"<{tag}>"
    start = tail.rfind("<")
    if start > tail.rfind(">") and re.match(r"<[/!a-zA-Z]", tail[start:]):
        return "a tag"
    return None


def canonical_url(markup: str) -> str | None:
    """The URL of the page's canonical link, None where it has none."""
    head = markup[:50_000]
    link = _CANONICAL.search(head) if "canonical" in head else None
    href = _HREF.search(link[0]) if link else None
    return unescape(href[1]) if href and href[1].startswith(("http://", "https://")) else None

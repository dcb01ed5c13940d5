"""Finds keys, tokens and passwords that stand in code, and takes them out or drops the document.

A credential is told by the fixed beginning that its issuer gives it, or by being a random-looking string that is
assigned to a name such as api_key.  Strings without either are left alone: mathematics is full of long numbers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

if TYPE_CHECKING:
    from proof_pile.filters.marker_scan import MarkerScan


# Marker (in lower case) with which a secret begins, and its form, as its issuer documents it.
_PREFIXES: tuple[tuple[tuple[str, ...], bytes], ...] = (
    (
        ("-----begin ",),
        rb"(?s:-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
        rb"(?:.{0,20000}?-----END [A-Z ]{0,30}KEY[A-Z ]*-----|[A-Za-z0-9+/=\s\\\"]{0,20000}))",
    ),
    (("akia", "asia"), rb"(?<![A-Z0-9])A[KS]IA[0-9A-Z]{16}(?![A-Z0-9])"),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    (("github_pat_",), rb"\bgithub_pat_[A-Za-z0-9_]{40,100}\b"),
    (("glpat-",), rb"\bglpat-[A-Za-z0-9_-]{20,50}"),
    (tuple(f"xox{c}-" for c in "abeoprs"), rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,200}"),
    (("aiza",), rb"\bAIza[0-9A-Za-z_-]{35}"),
    (("ya29.",), rb"\bya29\.[0-9A-Za-z_-]{30,400}"),
    (("sk_live_", "sk_test_", "rk_live_", "rk_test_"), rb"\b[rs]k_(?:live|test)_[0-9A-Za-z]{20,100}"),
    (tuple(f"sk-{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"), rb"(?<![\w-])sk-[A-Za-z0-9_-]{20,200}"),
    (tuple(f"hf_{c}" for c in "abcdefghijklmnopqrstuvwxyz"), rb"\bhf_[A-Za-z]{34}\b"),
    (("npm_",), rb"\bnpm_[A-Za-z0-9]{36}\b"),
    (("pypi-age",), rb"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    (tuple(f"sg.{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789-_"), rb"\bSG\.[\w-]{22}\.[\w-]{43}\b"),
    (("eyj0", "eyjh", "eyjr", "eyj1"), rb"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"),
    (("hooks.slack.com/",), rb"hooks\.slack\.com/services/(T\w{6,20}/B\w{6,20}/[A-Za-z0-9]{20,})"),
)
_FORMS = {marker.encode(): re.compile(form) for markers, form in _PREFIXES for marker in markers}
_LOGIN = re.compile(rb"://[^\s/:@'\"<>]{1,100}:([^\s/:@'\"<>]{3,200})@[A-Za-z0-9\[]")
# Names to which a secret is assigned, and what follows them where one is.
_NAMES = (
    "api_key", "apikey", "api-key", "access_key", "accesskey", "access-key", "auth_key", "authkey", "private_key",
    "privatekey", "private-key", "secret", "password", "passwd", "passphrase", "auth_token", "authtoken",
    "access_token", "accesstoken", "access-token", "api_token", "apitoken", "bearer_token",
)  # fmt: skip
_ASSIGNED = re.compile(rb"[A-Za-z0-9_-]{0,30}[\"']?\s{0,5}(?::=|=>|=|:)\s{0,5}[\"']([^\"'\s]{12,200})[\"']")
_PLACEHOLDER = re.compile(
    r"example|placeholder|your|change.?me|dummy|sample|insert|redacted|xxxx|\*{3}|\.{3}|[<>{}$%]|^pass(?:word)?$|^secret$|"
    r"^user$|1234567|abcdef|foobar",
    re.IGNORECASE,
)


class Config(BaseConfig):
    """What happens to a document with a secret: it goes (`drop`), or the secret does (`redact`, the default).

    `min_entropy` is in bits a character, of a string that is told by the name that it is assigned to.
    """

    kind: Literal["secrets"]
    action: Literal["redact", "drop"] = "redact"
    placeholder: str = "<KEY>"
    min_entropy: float = Field(default=3.5, ge=0, description="chosen by us: English words have under 3.2")


def entropy(text: str) -> float:
    """Shannon entropy of a text's characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0


@cache
def _scan() -> MarkerScan:
    from proof_pile.filters.marker_scan import MarkerScan

    return MarkerScan([*(marker.decode() for marker in _FORMS), *_NAMES])


def find_secrets(data: bytes, min_entropy: float) -> list[tuple[int, int]]:
    """Where the secrets of a text in UTF-8 begin and end, in order and apart from each other."""
    found: list[tuple[int, int]] = []
    for place, marker in _scan().places(data):
        form = _FORMS.get(marker)
        if form is not None:
            match = form.match(data, place)
            if match is not None and _is_secret(match[form.groups], marker):
                found.append(match.span(form.groups))
        else:
            match = _ASSIGNED.match(data, place + len(marker))
            if match is not None and _looks_random(match[1].decode("utf-8", "replace"), min_entropy):
                found.append(match.span(1))
    if b"@" in data and b"://" in data:
        found += [m.span(1) for m in _LOGIN.finditer(data) if not _PLACEHOLDER.search(m[1].decode("utf-8", "replace"))]
    found.sort()
    apart: list[tuple[int, int]] = []
    for start, end in found:
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _is_secret(value: bytes, marker: bytes) -> bool:
    """Whether the match is no placeholder; words joined by hyphens ("sk-learn-...") are not random enough."""
    text = value.decode("utf-8", "replace")
    if marker.startswith(b"-----"):
        return True
    if marker.startswith(b"sk-"):
        return any(c.isdigit() for c in text) and entropy(text) >= 3.5 and not _PLACEHOLDER.search(text)
    return not _PLACEHOLDER.search(text)


def _looks_random(value: str, min_entropy: float) -> bool:
    if _PLACEHOLDER.search(value) or not re.search(r"[0-9]", value) or not re.search(r"[A-Za-z]", value):
        return False
    if re.fullmatch(r"[\w.-]*\.[A-Za-z]{2,5}|[/\\].*|https?:.*", value):  # a file, a path, an address
        return False
    return entropy(value) >= min_entropy


def replace_spans(data: bytes, spans: Iterable[tuple[int, int, str]]) -> str:
    """The text with something else in place of each span, which are in order and apart."""
    parts, end = [], 0
    for start, stop, placeholder in spans:
        parts += [data[end:start], placeholder.encode()]
        end = stop
    return (b"".join(parts) + data[end:]).decode("utf-8", "replace")


def make(config: Config) -> Filter:
    """Reason: secret.  Else the text is rewritten, and meta.secrets tells how many there were."""

    def judge(document: Document) -> Verdict:
        data = document.text.encode("utf-8", "replace")
        spans = find_secrets(data, config.min_entropy)
        if not spans:
            return Keep(document)
        if config.action == "drop":
            return Drop("secret")
        text = replace_spans(data, [(start, end, config.placeholder) for start, end in spans])
        return Keep(replace(document, text=text, meta={**document.meta, "secrets": len(spans)}))

    return judge

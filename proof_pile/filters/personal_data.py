"""Takes addresses and numbers of persons out of texts, without touching mathematics.

In code "A@B.T" is a product of matrices, "1.2.3.4" a version, "555-1234" a difference.  So an e-mail address needs a
domain that exists, an IP address has to be a public one of large numbers, an IBAN its check digits, and a telephone or
social-security number a word before it that says what it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.secrets import replace_spans
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict

if TYPE_CHECKING:
    from proof_pile.filters.marker_scan import MarkerScan

Kind = Literal["email", "phone", "ip", "id"]
CREDIT_LINES = 60  # chosen by us: where the comment at the top of a file ends

_TLD = (
    r"com|org|net|edu|gov|mil|int|info|name|biz|pro|io|ai|dev|app|xyz|tech|science|math|eu|uk|de|fr|nl|be|ch|at|it|es|pt|"
    r"pl|cz|sk|hu|ro|bg|gr|dk|se|no|fi|is|ie|lu|li|ru|ua|by|lt|lv|ee|tr|il|ir|iq|sa|ae|in|pk|bd|lk|cn|hk|tw|jp|kr|sg|my|"
    r"th|vn|id|ph|au|nz|ca|us|mx|br|ar|cl|co|pe|uy|ve|za|eg|ng|ke|ma|tn|si|hr|rs|ba|mt|cy|kz|uz|ge|am|az|me|mk|al"
)
_LOCAL = re.compile(rb"(?:(?<![\w.@\\+%/=-]))[A-Za-z0-9][\w.+-]{0,63}\Z")
_DOMAIN = re.compile(
    rb"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\.)+"
    rb"(?:" + _TLD.encode() + rb"))(?![\w(\[@-])(?!\.[A-Za-z])",
    re.IGNORECASE,
)
_DOCUMENTATION = re.compile(rb"(?:^|\.)(?:example|invalid|test|localhost)(?:\.(?:com|org|net))?$", re.IGNORECASE)
_SERVICES = (b"git", b"svn", b"hg")  # git@host is how a repository is named, not a person
# Not a network ("131.159.14.0/24") nor a range of addresses: those are no one's.
_IP = re.compile(rb"(?<![\w.:/-])(?<!\.\. )\d{1,3}(?:\.\d{1,3}){3}(?![\w.-]|/\d| ?\.\.)")
# Words before a number that say what it is, the ones of three letters with what may follow them.
_AFTER = (" ", ":", ".", "=", "#", "(")
_PHONE_LABELS = (
    "phone",
    "telephone",
    "mobile",
    "cellphone",
    *(f"{w}{c}" for w in ("tel", "fax", "cell") for c in _AFTER),
)
_ID_LABELS = ("social security", "credit card", *(f"ssn{c}" for c in _AFTER))
_NUMBER = re.compile(rb"[ \t]?(?:number|no)?[ \t.:#=()]{0,8}(\+?\(?\d[\d ()./-]{5,22}\d)(?![\w.])", re.IGNORECASE)
_IBAN = re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CREDIT = re.compile(
    rb"\b(?:authors?|copyright|contributors?|maintainers?|written by|modified by|contact)\b(?:[^\n:]{0,30}:)?[ \t]*"
    rb"(?P<rest>[^\n]*)",
    re.IGNORECASE,
)


class Config(BaseConfig):
    """Which kinds are sought, and whether they go (`redact`) or their document does (`drop`).

    `credit` is for lines among the first 60 that name authors: `name` keeps the names and redacts the addresses as
    everywhere, `keep` leaves such lines as they are, `remove` puts <NAME> in place of whoever they name.
    In `numbers_stay_in`, languages of provers and of computer algebra, e-mail addresses alone are sought: a number
    there is part of what is proved (theories of routing have hundreds of public addresses in their theorems).
    With `max_addresses` a document with more of them (a list of members, an archive of mail) is dropped.
    """

    kind: Literal["personal-data"]
    action: Literal["redact", "drop"] = "redact"
    kinds: tuple[Kind, ...] = ("email", "phone", "ip", "id")
    credit: Literal["name", "keep", "remove"] = "name"
    numbers_stay_in: tuple[str, ...] = ("agda", "coq", "gap", "idris", "isabelle", "lean", "maple")
    max_addresses: int | None = Field(default=None, ge=1)


@cache
def _scan() -> MarkerScan:
    from proof_pile.filters.marker_scan import MarkerScan

    return MarkerScan([*_PHONE_LABELS, *_ID_LABELS])


def find_personal_data(data: bytes, kinds: tuple[Kind, ...]) -> list[tuple[int, int, str]]:
    """Beginning, end and placeholder of each in a text in UTF-8, in order and apart from each other."""
    from proof_pile.filters.marker_scan import has_account_number, has_dotted_quad, number_shapes

    found: list[tuple[int, int, str]] = []
    if "email" in kinds:
        found += [(start, end, "<EMAIL>") for start, end in _addresses(data)]
    shapes = number_shapes(data) if "ip" in kinds or "id" in kinds else 0
    if "ip" in kinds and has_dotted_quad(shapes):
        found += [(m.start(), m.end(), "<IP>") for m in _IP.finditer(data) if _is_public(m[0])]
    if "id" in kinds and has_account_number(shapes):
        found += [(m.start(), m.end(), "<ID>") for m in _IBAN.finditer(data) if _is_iban(m[0])]
    if "phone" in kinds or "id" in kinds:
        for place, label in _scan().places(data):
            kind: Kind = "id" if label.decode() in _ID_LABELS else "phone"
            match = _NUMBER.match(data, place + len(label)) if kind in kinds else None
            if match is not None and not data[place - 1 : place].isalnum() and 7 <= _num_digits(match[1]) <= 16:
                found.append((*match.span(1), "<ID>" if kind == "id" else "<PHONE>"))
    found.sort()
    apart: list[tuple[int, int, str]] = []
    for item in found:
        if not apart or item[0] >= apart[-1][1]:
            apart.append(item)
    return apart


def _num_digits(data: bytes) -> int:
    return sum(48 <= byte <= 57 for byte in data)


def _addresses(data: bytes) -> Iterator[tuple[int, int]]:
    """Where e-mail addresses stand: looked for around each "@", which code and proofs are full of."""
    place = data.find(b"@")
    while place >= 0:
        if data[place - 1 : place].isalnum() and data[place + 1 : place + 2].isalnum():
            domain = _DOMAIN.match(data, place + 1)
            local = _LOCAL.search(data, max(0, place - 65), place) if domain is not None else None
            if domain is not None and local is not None and _is_address(local[0], domain[1]):
                start, end = local.start(), domain.end()
                bracketed = data[start - 1 : start] == b"<" and data[end : end + 1] == b">"
                yield (start - 1, end + 1) if bracketed else (start, end)
        place = data.find(b"@", place + 1)


def _is_address(local: bytes, domain: bytes) -> bool:
    """A product of matrices ("A@B.it") has a domain of one letter; those of one letter that exist are not for mail."""
    return local.lower() not in _SERVICES and not _DOCUMENTATION.search(domain) and len(domain.split(b".")[-2]) > 1


def _is_public(text: bytes) -> bool:
    """Whether this is the address of some machine: no version or section number has two large parts.

    8.8.8.8 and the like, which stand for a service, are no one's.
    """
    parts = [int(part) for part in text.split(b".")]
    if max(parts) > 255 or max(parts) < 100 or sum(part >= 32 for part in parts) < 2:
        return False
    return ipaddress.IPv4Address(".".join(map(str, parts))).is_global


def _is_iban(text: bytes) -> bool:
    """Check digits of ISO 13616: moved behind, letters as numbers from 10 on, the whole is 1 modulo 97."""
    dense = text.decode("ascii").replace(" ", "")
    if not 15 <= len(dense) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in dense[4:] + dense[:4])) % 97 == 1


def _credit_spans(text: bytes) -> list[tuple[int, int]]:
    """What follows the label in each line of credit at the top of a file."""
    end = 0
    for _ in range(CREDIT_LINES):
        end = text.find(b"\n", end) + 1
        if end == 0:
            end = len(text)
            break
    return [m.span("rest") for m in _CREDIT.finditer(text, 0, end)]


def make(config: Config) -> Filter:
    """Reasons: personal-data, many-addresses.  Else the text is rewritten, and meta.personal_data counts what went."""

    def judge(document: Document) -> Verdict:
        data = document.text.encode("utf-8", "replace")
        formal = document.meta.get("language") in config.numbers_stay_in
        found = find_personal_data(data, tuple(set(config.kinds) & {"email"}) if formal else config.kinds)
        if config.max_addresses is not None and sum(f[2] == "<EMAIL>" for f in found) > config.max_addresses:
            return Drop("many-addresses")
        if config.credit != "name":
            credit = _credit_spans(data)
            found = [f for f in found if not any(start <= f[0] < end for start, end in credit)]
            if config.credit == "remove":
                found = sorted(found + [(start, end, "<NAME>") for start, end in credit if data[start:end].strip()])
        if not found:
            return Keep(document)
        if config.action == "drop":
            return Drop("personal-data")
        meta = {**document.meta, "personal_data": len(found)}
        return Keep(replace(document, text=replace_spans(data, found), meta=meta))

    return judge

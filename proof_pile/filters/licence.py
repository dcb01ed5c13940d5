"""Keeps documents by their licence, as the reader knows it or as the comment at the top of the file says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import model_validator

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict
from proof_pile.sources.licences import UNKNOWN, detect_header, licence_key, split_expression

HEADER_CHARS = 2500  # chosen by us: the notice of the GNU licence, which is a long one, has 700
# Choose by a group's name instead of by 20 of SPDX.  Sorted as choosealicense.com and the FSF sort them.
GROUPS: dict[str, tuple[str, ...]] = {
    "permissive": (
        "0BSD", "AFL-3.0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0", "CC-BY-3.0",
        "CC-BY-4.0", "CC0-1.0", "CECILL-B", "ECL-2.0", "ISC", "LPPL-1.3c", "MIT", "MIT-0", "MS-PL", "NCSA",
        "PostgreSQL", "PSF-2.0", "Unlicense", "UPL-1.0", "WTFPL", "X11", "Zlib",
    ),
    "weak-copyleft": (
        "CECILL-C", "EPL-1.0", "EPL-2.0", "LGPL", "LGPL-2.0", "LGPL-2.1", "LGPL-3.0", "MPL-1.1", "MPL-2.0", "MS-RL",
    ),
    "copyleft": (
        "AGPL-3.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CECILL-2.1", "EUPL-1.1", "EUPL-1.2", "GFDL-1.3", "GPL", "GPL-2.0",
        "GPL-3.0", "OSL-3.0",
    ),
    "non-commercial": ("CC-BY-NC", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
}  # fmt: skip


class Config(BaseConfig):
    """SPDX names in any usual spelling, or names of GROUPS.

    A licence of `deny` always drops.  With `allow` given, all licences of a document have to be in it, of "A OR B" one.
    `missing` is for a document of which no licence is known, `unknown` for one that has a licence that we do not know.
    A licence named in the file's own header (`header: true`) counts before that of its repository.
    """

    kind: Literal["licence"]
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    missing: Literal["keep", "drop"] = "keep"
    unknown: Literal["keep", "drop"] = "keep"
    header: bool = True

    @model_validator(mode="after")
    def _says_something(self) -> Config:
        if not self.allow and not self.deny and self.missing == self.unknown == "keep":
            raise ValueError("give 'allow' or 'deny', or 'missing: drop'")
        return self


def _keys(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(licence_key(item) for name in names for item in GROUPS.get(name, (name,)))


def stated_licences(meta: dict[str, Any]) -> list[str]:
    """What the reader knows: meta.licences (a list), meta.licence or meta.license; "none" is nothing."""
    found = meta.get("licences") or meta.get("licence") or meta.get("license") or []
    listed = found if isinstance(found, list) else [found]
    return [name for name in map(str, listed) if name and name.lower() not in ("none", "no_license", "noassertion")]


def make(config: Config) -> Filter:
    """Reasons: licence-denied, licence-not-allowed, licence-unknown, licence-missing."""
    allow, deny = _keys(config.allow), _keys(config.deny)

    def allowed(expression: str) -> bool:
        names = [licence_key(name) for name in split_expression(expression)]
        test = any if " or " in expression.lower() else all
        return test(name in allow for name in names)

    def denied(expression: str) -> bool:
        names = [licence_key(name) for name in split_expression(expression)]
        test = all if " or " in expression.lower() else any
        return bool(names) and test(name in deny for name in names)

    def judge(document: Document) -> Verdict:
        stated = stated_licences(document.meta)
        if config.header:
            own = detect_header(document.text[:HEADER_CHARS])
            if own != UNKNOWN:
                if not stated:
                    document = replace(document, meta={**document.meta, "licence": own})
                stated = [own]
        if not stated:
            return Drop("licence-missing") if config.missing == "drop" else Keep(document)
        if any(map(denied, stated)):
            return Drop("licence-denied")
        known = [name for name in stated if name.lower() != UNKNOWN]
        if len(known) < len(stated) and config.unknown == "drop":
            return Drop("licence-unknown")
        if allow and not all(map(allowed, known)):
            return Drop("licence-not-allowed")
        return Keep(document)

    return judge

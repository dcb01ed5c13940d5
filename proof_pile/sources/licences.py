"""Which licence a text is, and one spelling (SPDX) for what people write of licences.

Detection goes by phrases that stand in one licence's text and in no other's, not by likeness: what has none of them is
"unknown", never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNKNOWN = "unknown"

# In order: the first phrase that a text holds decides.  White space and case do not count.
_PHRASES: tuple[tuple[str, str], ...] = (
    ("gnu affero general public license version 3", "AGPL-3.0"),
    ("gnu lesser general public license version 3", "LGPL-3.0"),
    ("gnu lesser general public license version 2.1", "LGPL-2.1"),
    ("gnu library general public license version 2", "LGPL-2.0"),
    ("gnu general public license version 3", "GPL-3.0"),
    ("gnu general public license version 2", "GPL-2.0"),
    ("apache license version 2.0", "Apache-2.0"),
    ("mozilla public license version 2.0", "MPL-2.0"),
    ("mozilla public license, version 2.0", "MPL-2.0"),
    ("eclipse public license - v 2.0", "EPL-2.0"),
    ("eclipse public license - v 1.0", "EPL-1.0"),
    ("boost software license - version 1.0", "BSL-1.0"),
    ("european union public licence v. 1.2", "EUPL-1.2"),
    ("cecill-b free software license", "CECILL-B"),
    ("cecill-c free software license", "CECILL-C"),
    ("licence de logiciel libre cecill-b", "CECILL-B"),
    ("licence de logiciel libre cecill-c", "CECILL-C"),
    ("cecill free software license agreement", "CECILL-2.1"),
    ("creative commons attribution-noncommercial-sharealike 4.0", "CC-BY-NC-SA-4.0"),
    ("creative commons attribution-noncommercial 4.0", "CC-BY-NC-4.0"),
    ("creative commons attribution-noncommercial", "CC-BY-NC"),
    ("creative commons attribution-sharealike 4.0", "CC-BY-SA-4.0"),
    ("creative commons attribution-sharealike 3.0", "CC-BY-SA-3.0"),
    ("creative commons attribution-share alike 3.0", "CC-BY-SA-3.0"),
    ("creative commons attribution 4.0", "CC-BY-4.0"),
    ("attribution 4.0 international", "CC-BY-4.0"),
    ("cc0 1.0 universal", "CC0-1.0"),
    ("this is free and unencumbered software released into the public domain", "Unlicense"),
    ("do what the fuck you want to public license", "WTFPL"),
    ("permission to use, copy, modify, and/or distribute this software for any purpose", "ISC"),
    ("permission to use, copy, modify, and distribute this software for any purpose with or without fee", "ISC"),
    ("the latex project public license", "LPPL-1.3c"),
    ("gnu free documentation license", "GFDL-1.3"),
    ("python software foundation license version 2", "PSF-2.0"),
    ("this software is provided 'as-is', without any express or implied warranty", "Zlib"),
    ("permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
)
_BSD = "redistribution and use in source and binary forms"
# A header that names a licence without quoting it.
_HEADER_PHRASES: tuple[tuple[str, str], ...] = (
    ("licensed under the apache license, version 2.0", "Apache-2.0"),
    ("released under apache 2.0 license", "Apache-2.0"),
    ("terms of the gnu affero general public license", "AGPL-3.0"),
    ("terms of the gnu lesser general public license", "LGPL"),
    ("terms of the gnu library general public license", "LGPL"),
    ("terms of the gnu general public license", "GPL"),
    ("released under the mit license", "MIT"),
    ("licensed under the mit license", "MIT"),
    ("subject to the terms of the mozilla public license, v. 2.0", "MPL-2.0"),
    ("distributed under the boost software license, version 1.0", "BSL-1.0"),
    ("cecill-b", "CECILL-B"),
)
# One of them stands in whatever names a licence; asked first.
_HEADER_WORDS = (
    "icens", "ICENS", "icenc", "ICENC", "ermission", "ERMISSION", "edistribution", "EDISTRIBUTION", "ttribution",
    "unencumbered", "as-is", "CC0", "ECILL", "ecill",
)  # fmt: skip
_SPDX_TAG = re.compile(
    r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]{2,80}?)[ \t]*(?:\*/|-->|\*\)|-\}|$)", re.MULTILINE
)

# Other spellings, squeezed to lower-case letters, digits and full stops, and the SPDX name.
_SPELLINGS: dict[str, str] = {
    "apache": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "apachelicense2.0": "Apache-2.0",
    "apachelicenseversion2.0": "Apache-2.0",
    "apachesoftwarelicense": "Apache-2.0",
    "mitlicense": "MIT",
    "themitlicense": "MIT",
    "expat": "MIT",
    "x11": "X11",
    "bsd": "BSD-3-Clause",
    "bsd2clause": "BSD-2-Clause",
    "bsd2clauselicense": "BSD-2-Clause",
    "simplifiedbsd": "BSD-2-Clause",
    "bsd3clause": "BSD-3-Clause",
    "bsd3clauselicense": "BSD-3-Clause",
    "newbsd": "BSD-3-Clause",
    "modifiedbsd": "BSD-3-Clause",
    "bsdlicense": "BSD-3-Clause",
    "publicdomain": "CC0-1.0",
    "cc0": "CC0-1.0",
    "unlicence": "Unlicense",
    "boost": "BSL-1.0",
    "psf": "PSF-2.0",
    "psfl": "PSF-2.0",
    "python2.0": "PSF-2.0",
    "mpl2.0": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "zlib": "Zlib",
    "isclicense": "ISC",
}
_VERSIONED = re.compile(r"^(?:gnu)?(a|l)?gpl(?:v|version)?(\d(?:\.\d)?)?(?:orlater|only|\+)?$")


def spdx(name: str) -> str:
    """The SPDX name of a licence, whatever its spelling ("GPLv3", "gpl-3.0-or-later": GPL-3.0); else the name itself.

    "-only", "-or-later" and "+" are left out: a list of licences that may be used seldom means one of them alone.
    """
    name = name.strip().strip("()")
    squeezed = re.sub(r"[^a-z0-9.+]", "", name.lower())
    if squeezed in _SPELLINGS:
        return _SPELLINGS[squeezed]
    if (found := _VERSIONED.match(squeezed.replace("generalpubliclicense", "gpl"))) is not None:
        family = f"{(found[1] or '').upper()}GPL"
        version = found[2]
        return family if version is None else f"{family}-{version if '.' in version else version + '.0'}"
    return re.sub(r"-(?:only|or-later)$|\+$", "", name, flags=re.IGNORECASE)


def licence_key(name: str) -> str:
    """What two spellings of one licence have in common, for comparison."""
    return spdx(name).casefold()


def split_expression(expression: str) -> list[str]:
    """The licences that an SPDX expression names, without saying how they are joined."""
    parts = re.split(
        r"\s+(?:OR|AND|WITH)\s+|[,;/]\s*", expression.replace("(", " ").replace(")", " "), flags=re.IGNORECASE
    )
    return [spdx(part) for part in parts if part.strip()]


def detect(text: str) -> str:
    """The SPDX name of the licence whose text this is, "unknown" where no phrase of a known one stands in it."""
    plain, words = _plain(text[:100_000])
    found = _first_phrase(plain, words, _WHOLE)
    if found is not None:
        return found
    if _BSD in plain:
        third = "neither the name" in plain or "may not be used to endorse" in plain
        return "BSD-3-Clause" if third else "BSD-2-Clause"
    return detect_header(text)


def detect_header(head: str) -> str:
    """The licence that the comment at the top of a file names (SPDX tag or its usual sentence), or "unknown"."""
    if "SPDX-" in head and (tag := _SPDX_TAG.search(head)) is not None:
        return " OR ".join(split_expression(tag[1])) if " OR " in tag[1].upper() else spdx(tag[1])
    if not any(word in head for word in _HEADER_WORDS):
        return UNKNOWN
    plain, words = _plain(head)
    name = _first_phrase(plain, words, _HEADER + _WHOLE)
    if name in ("GPL", "LGPL"):
        version = re.search(r"version (\d(?:\.\d)?)", plain[plain.index("general public license") :][:300])
        return spdx(f"{name}-{version[1]}") if version is not None else name
    if name is None and _BSD in plain:
        return "BSD-3-Clause" if "neither the name" in plain else "BSD-2-Clause"
    return name or UNKNOWN


_COMMENT_MARKS = b'*#%;!|/(){}<>"'
_MARKS = bytes.maketrans(_COMMENT_MARKS, b" " * len(_COMMENT_MARKS))


def _plain(text: str) -> tuple[str, set[bytes]]:
    """The text in lower case without the marks of comments, white space as one space; and its words.

    Done in bytes, of which lower case and translation are ten times as fast.
    """
    words = [word for word in text.encode("utf-8", "replace").lower().translate(_MARKS).split() if word.strip(b"-")]
    return b" ".join(words).decode("utf-8", "replace"), set(words)


def _first_phrase(plain: str, words: set[bytes], phrases: Iterable[tuple[bytes, str, str]]) -> str | None:
    for first, phrase, name in phrases:
        if first in words and phrase in plain:
            return name
    return None


def _with_first_word(phrases: Iterable[tuple[str, str]]) -> tuple[tuple[bytes, str, str], ...]:
    """First word, phrase and name, written as `_plain` writes texts."""
    plain = [(_plain(phrase)[0], name) for phrase, name in phrases]
    return tuple((phrase.split()[0].encode(), phrase, name) for phrase, name in plain)


_WHOLE = _with_first_word(_PHRASES)
_HEADER = _with_first_word(_HEADER_PHRASES)


def is_licence_file(name: str) -> bool:
    """Whether a file's name, without folders, is one under which licences stand."""
    return re.match(r"(?:un)?licen[cs]e(?:[.-]|$)|copying(?:[.-]|$)|cecill", name, re.IGNORECASE) is not None


def one_licence(names: Iterable[str]) -> str:
    """One name for the licences of several files in one folder: unknown ones do not count beside known ones."""
    known = sorted({name for name in names if name != UNKNOWN})
    return " AND ".join(known) if known else UNKNOWN

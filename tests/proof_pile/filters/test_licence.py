"""Licences: spellings, detection, and the filter."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proof_pile.documents import make_document
from proof_pile.filters import Drop, FilterConfig, Keep, make_filter
from proof_pile.sources.licences import _HEADER, _WHOLE, _plain, detect, detect_header, is_licence_file, spdx

ADAPTER: TypeAdapter[Any] = TypeAdapter(FilterConfig)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("GPLv3", "GPL-3.0"),
        ("gpl-3.0-or-later", "GPL-3.0"),
        ("GNU General Public License v2", "GPL-2.0"),
        ("LGPL-2.1+", "LGPL-2.1"),
        ("AGPLv3", "AGPL-3.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("The MIT License", "MIT"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("GPL-2.0-only", "GPL-2.0"),
        ("MPL-2.0", "MPL-2.0"),
        ("Something-1.0", "Something-1.0"),
    ],
)
def test_licence_has_one_name_whatever_its_spelling(name: str, wanted: str) -> None:
    assert spdx(name) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("   Apache License\n      Version 2.0, January 2004", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007 ... GNU Lesser", "GPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 2.1", "LGPL-2.1"),
        ("Permission is hereby granted, free\nof charge, to any person obtaining a copy", "MIT"),
        ("Redistribution and use in source and binary forms ... Neither the name of", "BSD-3-Clause"),
        ("Redistribution and use in source and binary forms, with or without", "BSD-2-Clause"),
        ("Eclipse Public License - v 2.0", "EPL-2.0"),
        ("Boost Software License - Version 1.0", "BSL-1.0"),
        ("CeCILL-B FREE SOFTWARE LICENSE AGREEMENT", "unknown"),
        ("You may do as you please.", "unknown"),
    ],
)
def test_licence_text_is_told_by_its_phrases(text: str, wanted: str) -> None:
    assert detect(text) == ("CECILL-B" if "CeCILL" in text else wanted)


def test_every_phrase_can_be_found_in_a_text_that_holds_it() -> None:
    """A dash that the text loses on its way and the phrase keeps would make the phrase one that nothing matches."""
    for first, phrase, _ in (*_WHOLE, *_HEADER):
        plain, words = _plain(f"-- * {phrase.upper()} */")
        assert first in words and phrase in plain


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        ("# SPDX-License-Identifier: MIT\nx = 1", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-or-later */", "GPL-2.0"),
        ("// SPDX-License-Identifier: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("/-\nCopyright X.\nReleased under Apache 2.0 license as described in the file LICENSE.\n-/", "Apache-2.0"),
        ("-- under the terms of the GNU General\n-- Public License as published; either version 3", "GPL-3.0"),
        ("# under the terms of the GNU Lesser General Public License", "LGPL"),
        ("x = 1  # a licence to think", "unknown"),
    ],
)
def test_header_names_its_licence(head: str, wanted: str) -> None:
    assert detect_header(head) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("LICENSE", True),
        ("COPYING.LESSER", True),
        ("licence-mit.txt", True),
        ("UNLICENSE", True),
        ("CeCILL-B", True),
        ("licensing.py", False),
    ],
)
def test_licence_file_is_known_by_its_name(name: str, wanted: bool) -> None:
    assert is_licence_file(name) is wanted


def reason(section: dict[str, Any], text: str = "x = 1", **meta: Any) -> str | None:
    verdict = make_filter(ADAPTER.validate_python({"kind": "licence", **section}))(make_document("c", "n", text, meta))
    return verdict.reason if isinstance(verdict, Drop) else None


@pytest.mark.parametrize(
    ("section", "meta", "wanted"),
    [
        ({"allow": ["permissive"]}, {"licence": "MIT License"}, None),
        ({"allow": ["permissive"]}, {"licence": "GPLv2"}, "licence-not-allowed"),
        ({"allow": ["permissive"]}, {"licences": ["MIT", "GPL-3.0"]}, "licence-not-allowed"),
        ({"allow": ["permissive"]}, {"licence": "GPL-2.0 OR MIT"}, None),
        ({"allow": ["MIT"]}, {"licence": "GPL-2.0 AND MIT"}, "licence-not-allowed"),
        ({"deny": ["copyleft"]}, {"licence": "GPL-2.0 OR MIT"}, None),
        ({"deny": ["copyleft"]}, {"licences": ["MIT", "gpl-3.0"]}, "licence-denied"),
        ({"allow": ["MIT"]}, {"licence": "unknown"}, None),
        ({"allow": ["MIT"], "unknown": "drop"}, {"licence": "unknown"}, "licence-unknown"),
        ({"allow": ["MIT"], "missing": "drop"}, {"licence": "none"}, "licence-missing"),
        ({"missing": "drop"}, {}, "licence-missing"),
        ({"deny": ["GPL-3.0"]}, {}, None),
    ],
)
def test_licence_filter_asks_lists_of_names_and_groups(section: Any, meta: Any, wanted: str | None) -> None:
    assert reason(section, **meta) == wanted


def test_header_of_the_file_counts_before_the_licence_of_its_repository() -> None:
    text = "# SPDX-License-Identifier: GPL-3.0-only\n"
    assert reason({"allow": ["MIT"]}, text, licence="MIT") == "licence-not-allowed"
    assert reason({"allow": ["MIT"], "header": False}, text, licence="MIT") is None
    judge = make_filter(ADAPTER.validate_python({"kind": "licence", "deny": ["MIT"]}))
    verdict = judge(make_document("c", "n", text))
    assert isinstance(verdict, Keep) and verdict.document.meta["licence"] == "GPL-3.0"


def test_licence_filter_that_asks_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="give 'allow' or 'deny'"):
        ADAPTER.validate_python({"kind": "licence"})

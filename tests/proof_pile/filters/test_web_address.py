"""Pages dropped by their address."""

from __future__ import annotations

import pytest

from proof_pile.documents import make_document
from proof_pile.filters.verdicts import Drop
from proof_pile.filters.web_address import Config, make


def reason(address: str, text: str = "words", **settings: object) -> str | None:
    config = Config.model_validate({"kind": "web-address", **settings})
    verdict = make(config)(make_document("web", address, text))
    return verdict.reason if isinstance(verdict, Drop) else None


@pytest.mark.parametrize(
    "address",
    ["https://example.org/authors/x", "https://example.org/serials/3", "https://read.dukeupress.edu/books/a"],
)
def test_addresses_that_two_missing_commas_joined_are_dropped(address: str) -> None:
    """OpenWebMath's list says '/authors/' '/serials/' 'read.dukeupress.edu' without commas, which Python makes one
    string: no address holds it, and the three sorts of pages stayed in the corpus."""
    assert reason(address) in ("bad-site", "bad-address")


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("https://www.scribd.com/doc/1", "bad-site"),
        ("http://web.archive.org/x", "bad-site"),
        ("https://kunz.com/algebra", None),  # holds the letters of unz.com
        ("https://example.org/commit/abc", "bad-address"),
        ("https://example.org/committee/report", None),  # holds the letters of /commit
        ("https://example.org/search?q=x", "bad-address"),
        ("https://example.org/a%2Fsearch", "bad-address"),
        ("http://search.example.org/x", None),
        ("https://math.stackexchange.com/users/5", "bad-address"),
        ("https://math.stackexchange.com/questions/5", None),
        ("https://uni.de/publications/4", "bad-address"),
        ("http://[::1", None),  # no address that can be taken apart
        ("pages/scribd.com/a.html", None),  # a file, not an address
    ],
)
def test_address_is_judged_by_site_and_path(address: str, wanted: str | None) -> None:
    assert reason(address) == wanted


def test_libretexts_of_other_subjects_need_a_formula() -> None:
    assert reason("https://math.libretexts.org/a") is None
    assert reason("https://chem.libretexts.org/a") == "libretexts-without-formula"
    assert reason("https://chem.libretexts.org/a", "so $x^2$ holds") is None
    assert reason("https://chem.libretexts.org/a", r"see $\PageIndex{1}$") == "libretexts-without-formula"
    assert reason("https://chem.libretexts.org/a", libretexts_subjects=()) is None


def test_address_in_the_metadata_counts_where_the_name_is_another() -> None:
    document = make_document("web", "row 5", "words", {"url": "https://issuu.com/a"})
    assert isinstance(make(Config(kind="web-address"))(document), Drop)


def test_lists_of_the_recipe_take_the_place_of_the_published_ones() -> None:
    assert reason("https://issuu.com/a", bad_sites=(), bad_pieces=("/x/",)) is None
    assert reason("https://a.org/x/", bad_sites=("b.org",), bad_pieces=("/x/",)) == "bad-address"

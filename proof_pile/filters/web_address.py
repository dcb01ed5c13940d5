"""Drops pages by their address: OpenWebMath's list of sites and paths that its authors found to be worthless.

Source of the list and the rules: keirp/OpenWebMath, filtering/filter_dataset.py.  Two things differ.  There, two
missing commas join '/authors/', '/serials/' and 'read.dukeupress.edu' into one string that no address holds: here they
are three.  And a site is looked for as a site (its domain and what stands before it), not as letters anywhere in the
address, so that "unz.com" does not drop "kunz.com", nor '/commit' a page about a '/committee'.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from llemma.core.config import Config as BaseConfig
from proof_pile.documents import Document
from proof_pile.filters.verdicts import Drop, Filter, Keep, Verdict
from proof_pile.recall.addresses import address_of

BAD_SITES = (
    "science.gov", "archive.org", "scribd.com", "unz.com", "noobstarter.com", "philpapers.org", "thesa.com",
    "beyondhighbrow.com", "careyoukeep.com", "eevblog.com", "happyslide.net", "issuu.com", "zh-cn.unz.com", "vixra.org",
    "medcraveonline.com", "sciendo.com", "open.library.ubc.ca", "eurotrib.com", "postthreads.org", "jim.bmj.com",
    "wanweibaike.com", "hzdr.de", "docplayer.net", "bookofmormonblog.org", "bradford-delong.com",
    "profiles.stanford.edu", "vo.astronet.ru", "homainstallationen.at", "read.dukeupress.edu", "thewikipost.org",
    "is.tuebingen.mpg.de", "discourse.darkjedibrotherhood.com", "springermedizin.de", "materials-chain.com",
    "www.unzmag.net", "is.mpg.de", "hobby8.5ch.net", "forums.penny-arcade.com", "wowwiki.com", "8chan.moe",
    "plosone.org", "www.is.mpg.de", "feeds.churchturing.org", "learn.gcs.edu", "mobinuke.com", "judithcurry.com",
    "tek-tips.com", "skepticforum.com", "nih.gov", "lastfm.it", "studylib.net", "dokumen.pub", "manualzz.com",
    "fraser.stlouisfed.org", "nrsworld.com",
)  # fmt: skip
BAD_PIECES = (
    "worldwidescience", "/profile/", "/researcher", "/joursearch/", "/author/", "/authors/", "/serials/",
    "all_publications", ".de/publications", "/commit", "vitaminstore", "arxiv-vanity", "proceedings", "bibbase",
    "bibtex", "issn", "arxiv-export", "bmjopen", "stackexchange.com/users", "mathoverflow.net/users", "/search",
)  # fmt: skip
LIBRETEXTS_SUBJECTS = ("math", "phys", "stats")

_PAGE_INDEX = re.compile(r"\$+\\PageIndex\{[^}]*\}\$+")
_FORMULA = re.compile(r"\$\$[^$]+\$\$|(?<!\\)\$[^$]+\$")


class Config(BaseConfig):
    """Addresses that are not wanted; a page without a web address is kept."""

    kind: Literal["web-address"]
    bad_sites: tuple[str, ...] = Field(default=BAD_SITES, description="domains, with all that stands before them")
    bad_pieces: tuple[str, ...] = Field(default=BAD_PIECES, description="letters anywhere in the address")
    libretexts_subjects: tuple[str, ...] = Field(
        default=LIBRETEXTS_SUBJECTS,
        description="LibreTexts pages of other subjects need a formula; empty: no such rule",
    )


def make(config: Config) -> Filter:
    """Reasons: bad-site, bad-address, libretexts-without-formula."""
    sites = (
        re.compile(r"(?:^|\.)(?:" + "|".join(map(re.escape, config.bad_sites)) + r")$") if config.bad_sites else None
    )
    pieces = re.compile("|".join(_piece_pattern(piece) for piece in config.bad_pieces)) if config.bad_pieces else None

    def judge(document: Document) -> Verdict:
        address = address_of(document.name, document.meta)
        if not address:
            return Keep(document)
        try:
            host = (urlsplit(address).hostname or "").rstrip(".")
        except ValueError:
            host = ""
        if sites is not None and sites.search(host):
            return Drop("bad-site")
        if pieces is not None and pieces.search(unquote(address)):
            return Drop("bad-address")
        of_subject = any(subject in address for subject in config.libretexts_subjects)
        if config.libretexts_subjects and "libretexts" in host and not of_subject and not _has_formula(document.text):
            return Drop("libretexts-without-formula")
        return Keep(document)

    return judge


def _piece_pattern(piece: str) -> str:
    pattern = re.escape(piece)
    if piece == "/commit":
        return pattern + "(?!tee)"
    if piece == "/search":
        return "(?<!/)" + pattern  # a site may be named search.example.org
    return pattern


def _has_formula(text: str) -> bool:
    return _FORMULA.search(_PAGE_INDEX.sub("", text)) is not None

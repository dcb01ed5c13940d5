"""Domains and address prefixes of pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_MAX_ADDRESS = 2000


def address_of(name: str, meta: dict[str, Any]) -> str:
    """The page's URL: its meta's "url", else its name where that is one; "" where there is none."""
    for value in (meta.get("url"), name):
        if isinstance(value, str) and "://" in value[:20]:
            return value[:_MAX_ADDRESS]
    return ""


def domain_and_prefix(address: str, depth: int) -> tuple[str, str]:
    """The host without www. and port, and the host with the first `depth` folders of the path; else ("", "")."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return "", ""
    if not host:
        return "", ""
    folders = [part for part in parts.path.split("/")[:-1] if part][:depth]
    return host, "/".join([host, *folders])


def is_under(prefix: str, approved: frozenset[str]) -> bool:
    """True if a prefix or one of the prefixes above it, up to the host, is among the approved."""
    while prefix:
        if prefix in approved:
            return True
        prefix = prefix.rpartition("/")[0]
    return False

"""HTTP responses as WARC files hold them: status, fields and a body that may be chunked or packed."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A response without its transfer and content codings."""

    status: int
    content_type: str  # lower case, without parameters
    charset: str  # of the Content-Type field, "" where it names none
    body: bytes


def parse_response(block: bytes, max_body_bytes: int) -> Response | str:
    """The response in a WARC record's block, or why it cannot be read."""
    end = block.find(b"\r\n\r\n")
    length = 4
    if end < 0 or end > 256 << 10:
        end, length = block.find(b"\n\n"), 2
        if end < 0:
            return "no end of the HTTP head"
    lines = block[:end].decode("latin-1").splitlines()
    match = re.match(r"HTTP/\d(?:\.\d)?\s+(\d{3})", lines[0] if lines else "")
    if match is None:
        return "no HTTP status line"
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    body = block[end + length :]
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _unchunked(body)
    unpacked = _unpacked(body, fields.get("content-encoding", "").lower(), max_body_bytes)
    if isinstance(unpacked, str):
        return unpacked
    kind = fields.get("content-type", "")
    charset = _CHARSET.search(kind)
    return Response(
        status=int(match[1]),
        content_type=kind.split(";", 1)[0].strip().lower(),
        charset=charset[1] if charset else "",
        body=unpacked,
    )


def _unchunked(body: bytes) -> bytes:
    """The body out of its chunks; as it is where it is in none (crawlers undo the coding and keep the field)."""
    out: list[bytes] = []
    position = 0
    while (match := _CHUNK.match(body, position)) is not None:
        size = int(match[1], 16)
        if size == 0:
            return b"".join(out)
        start = match.end()
        out.append(body[start : start + size])
        position = start + size
        if position >= len(body):
            return b"".join(out)  # cut off in a chunk: what is there counts
        position += 2 if body[position : position + 2] == b"\r\n" else 1
    return b"".join(out) if out else body


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes | str:
    if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(31)
    elif coding == "deflate" and body[:1] == b"\x78":
        unpacker = zlib.decompressobj()
    elif coding in ("br", "zstd", "compress") and b"<" not in body[:1024]:
        return f"body packed with {coding}"
    else:
        return body
    try:
        out = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        return f"damaged {coding} body: {error}"
    return out

"""Documents and their way through Arrow."""

from __future__ import annotations

import hashlib

from proof_pile.documents import (
    Quarantined,
    batch_documents,
    documents_batch,
    documents_schema,
    dropped_schema,
    excerpt,
    make_document,
)


def test_id_is_blake2b_of_source_and_name_or_of_the_text_without_a_name() -> None:
    named = make_document("web", "http://x", "text")
    assert named.id == hashlib.blake2b(b"web\0http://x", digest_size=16).digest()
    assert make_document("web", "", "text").id == hashlib.blake2b(b"web\0text", digest_size=16).digest()
    assert make_document("web", "http://x", "other text").id == named.id
    assert len(named.hex_id) == 32


def test_documents_survive_a_record_batch() -> None:
    documents = [make_document("s", f"n{k}", f"t\u00e9xt {k}\n", {"k": k, "l": ["\u4e2d"]}) for k in range(5)]
    batch = documents_batch(documents)
    assert batch.schema == documents_schema()
    assert batch_documents(batch) == documents
    dropped = documents_batch(documents, ["too-large"] * 5)
    assert dropped.schema == dropped_schema()
    assert batch_documents(dropped) == documents


def test_lone_surrogates_do_not_stop_a_batch() -> None:
    document = make_document("s", "n\ud800", "a\ud800b\udc00c", {"key": "\udfff"})
    assert documents_batch([document]).num_rows == 1
    assert "\ud800" not in document.text


def test_quarantined_record_tells_its_place() -> None:
    record = Quarantined(path="a.jsonl", line=3, reason="invalid JSON", excerpt=excerpt(b"ab\n\x00\xff" + b"c" * 999))
    value = record.as_json()
    assert value["path"] == "a.jsonl" and value["line"] == 3 and "member" not in value
    assert value["excerpt"].startswith("ab  \ufffdccc") and len(value["excerpt"]) == 200

"""How published collections lay out a record, and the document that it becomes.

the-stack       The Stack and its kin: content, lang, ext, hexsha, max_stars_repo_{name,path,licenses}; notebooks
                stand in it as JSON
github          AlgebraicStack's own crawl (math-lm, process_github.py): text, meta{author, repo, sha, save_path, path}
proof-pile-2    Proof-Pile-2's files: text, and meta as an object or as a string of JSON, in either form above or
                another; Isabelle proof steps that stand under proof and metadata, as their script wrote them, too
auto            each record by the keys that it has, one of the above or "plain" (the reader's own key settings)

Documents of all of them have meta.language and, where known, repo, path and licences (a list).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from proof_pile.documents import Document, make_document
from proof_pile.sources import notebook
from proof_pile.sources.inputs import json_value
from proof_pile.sources.languages import is_language, language_named, language_of

Layout = Literal["plain", "auto", "the-stack", "github", "proof-pile-2"]

# The columns of The Stack (v1 by default, those of later versions after them) that a document is made from.
STACK_COLUMNS = (
    "content", "lang", "ext", "size", "hexsha", "max_stars_repo_name", "max_stars_repo_path", "max_stars_repo_licenses",
    "max_stars_count", "max_stars_repo_head_hexsha",
    "text", "meta", "language", "repo_name", "path", "blob_id", "revision_id", "detected_licenses", "license", "id",
)  # fmt: skip
_NAME_KEYS = ("url", "arxiv_id", "mathlib_filename", "path", "id", "name")


def layout_of(value: Mapping[str, Any]) -> Layout:
    """The layout that a record's keys speak of, "plain" where of none."""
    if isinstance(value.get("content"), str) and not isinstance(value.get("text"), str):
        return (
            "the-stack" if {"max_stars_repo_path", "hexsha", "blob_id", "lang", "repo_name"} & value.keys() else "plain"
        )
    if "proof" in value and "metadata" in value and "text" not in value:
        return "proof-pile-2"
    if isinstance(value.get("text"), str) and isinstance(_object(value.get("meta")), dict):
        return "proof-pile-2"
    return "plain"


def layout_document(layout: str, value: Mapping[str, Any], source: str, file_name: str) -> Document | str:
    """The document of one record, or why there is none.  `file_name` tells the language where nothing else does."""
    if layout == "the-stack":
        text = value.get("content")
        if not isinstance(text, str):
            text = value.get("text")
        meta: Any = value
    else:
        text = value.get("text", value.get("proof"))
        meta = _object(value.get("meta", value.get("metadata")))
    if not isinstance(text, str):
        return "no text under the key " + ("'content'" if layout == "the-stack" else "'text'")
    if not text.strip():
        return "empty text"
    if not isinstance(meta, dict):
        return "no object under the key 'meta'"
    if layout == "the-stack" or "max_stars_repo_path" in meta:
        return _stack_document(text, meta, source, file_name, raw=layout == "the-stack")
    if "repo" in meta and "path" in meta:
        return _github_document(text, meta, source, file_name)
    kept = json_value(meta)
    language = meta.get("language")
    named = language_named(language) if isinstance(language, str) else file_language(file_name)
    if isinstance(language, str) or is_language(named):  # pages in shard-0000.jsonl are not in the language "shard"
        kept["language"] = named
    return make_document(source, _first(meta, _NAME_KEYS), text, kept)


def file_language(file_name: str) -> str:
    """The language that a data file's name tells: "lean" of algebraic-stack/train/lean0000.jsonl.zst.

    Where neither the file's name nor its folder's is a language that we know, it is what stands before the number.
    """
    *folders, base = file_name.split("/")
    base = base.split(".")[0]
    stem = re.sub(r"[-_]?(?:train|validation|test|part|data)?[-_]?\d*(?:[-_]of[-_]\d+)?$", "", base)
    stem = re.sub(r"^github-|_proofsteps$", "", stem)  # math-lm's own names: github-coq-train-0000, isa_proofsteps
    names = [language_named(name) for name in (stem, *folders[-1:]) if name not in ("", "data")]
    return next(filter(is_language, names), names[0] if names else "unknown")


def _stack_document(text: str, row: Mapping[str, Any], source: str, file_name: str, *, raw: bool) -> Document | str:
    repo = _first(row, ("max_stars_repo_name", "repo_name"))
    path = _first(row, ("max_stars_repo_path", "path")).lstrip("/")
    sha = _first(row, ("hexsha", "blob_id", "id"))
    stated = _first(row, ("lang", "language"))
    ending = _first(row, ("ext",))
    language = language_named(stated) if stated else language_of(path) or language_of(f".{ending}")
    language = language or file_language(file_name)
    meta: dict[str, Any] = {"language": language, "repo": repo, "path": path, "sha": sha, "ext": ending}
    licences = next((row[k] for k in ("max_stars_repo_licenses", "detected_licenses", "license") if row.get(k)), None)
    if licences is not None:
        meta["licences"] = [str(x) for x in licences] if isinstance(licences, list | tuple) else [str(licences)]
    if isinstance(row.get("max_stars_count"), int | float):
        meta["stars"] = row["max_stars_count"]
    if raw and language == "jupyter" and text.lstrip().startswith("{"):
        converted = notebook.convert(text)
        if isinstance(converted, str):
            return converted
        text, known = converted
        meta |= known
        if not text.strip():
            return "empty text"
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    name = f"{repo}/{path}" if repo and path else sha
    return make_document(source, name, text, {key: value for key, value in meta.items() if value != ""})


def _github_document(text: str, meta: Mapping[str, Any], source: str, file_name: str) -> Document:
    author, repo, path = (_first(meta, (key,)) for key in ("author", "repo", "path"))
    save_path = _first(meta, ("save_path",)).rstrip("/")
    if save_path and path.startswith(save_path + "/"):
        path = path[len(save_path) + 1 :]
    full = f"{author}/{repo}" if author and "/" not in repo else repo
    known = {"repo": full, "path": path, "commit": _first(meta, ("sha",))}
    language = language_of(path) or file_language(file_name)
    licence = _first(meta, ("licence", "license"))
    if licence:
        known["licence"] = licence
    return make_document(source, f"{full}/{path}", text, {"language": language, **known})


def _object(value: Any) -> Any:
    """The value, or the object that a string of JSON holds."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    import orjson

    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """What stands under the first of the keys that has a string or a whole number, "" where none has."""
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return ""

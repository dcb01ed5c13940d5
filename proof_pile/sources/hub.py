"""Datasets by their names on the Hugging Face hub, read from the repository's own files.

`datasets` no longer runs the loading scripts that many corpora of mathematics come with (Proof-Pile-2 is one), and
nothing of a repository is ever run here: its Parquet and JSON-lines files are listed and read.  The revision is settled
to a commit when a build is planned, and the commit stands in the name of every piece of input, so that a build says
what it read and does the same again.

Where the files come from, in this order: `local` (a folder: a clone, a snapshot, a folder of the hub's cache), the
hub's cache on this machine (HF_HOME, HF_HUB_CACHE), the hub (HF_ENDPOINT).  With HF_HUB_OFFLINE=1 the hub is not asked.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from llemma.core.config import Config as BaseConfig
from llemma.core.config import did_you_mean
from llemma.core.errors import InputError, LlemmaError, MissingPackageError, WorkError
from llemma.core.files import read_json, stable_hash, write_json
from llemma.core.logging import get_logger
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import jsonl, parquet
from proof_pile.sources.inputs import SourceFile, walk
from proof_pile.sources.languages import language_named
from proof_pile.sources.layouts import Layout, file_language

log = get_logger(__name__)
SUFFIXES = (*jsonl.SUFFIXES, ".parquet")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_PIECE = re.compile(r"(?P<dataset>[^@]+)@(?P<commit>[0-9a-f]{40}):(?P<path>.+)\Z", re.DOTALL)


class Config(BaseConfig):
    """A dataset (`EleutherAI/proof-pile-2`) at a `revision` (branch, tag or commit).

    `config` and `split` are names of folders or beginnings of file names on the way to a file ("algebraic-stack",
    "train"), `languages` takes the files of these ("lean0000.jsonl.zst" is lean), `files` are patterns of whole paths.
    Case does not count in any of them: Proof-Pile-2's own list says "Matlab" where its files say "matlab".
    `keep_copies: false` deletes each file when it has been read, instead of keeping it in the hub's cache.
    """

    kind: Literal["hub"]
    dataset: str
    revision: str = "main"
    config: str | None = None
    split: str | None = None
    languages: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    local: str | None = None
    keep_copies: bool = True
    layout: Layout = "auto"
    text_key: str = "text"
    name_keys: tuple[str, ...] = ("name", "id", "url", "meta.name", "meta.url", "meta.arxiv_id", "meta.path")
    columns: tuple[str, ...] | None = None
    meta: dict[str, str | int | float | bool] = Field(default_factory=dict)
    max_line_bytes: int = Field(default=64 << 20, ge=1024)
    max_text_bytes: int = Field(default=64 << 20, ge=1024)

    @field_validator("dataset")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", value) or ".." in value:
            raise ValueError(f"'{value[:100]}' is not the name of a dataset (wanted OWNER/NAME)")
        return value


# ---------------------------------------------------------------- what there is


def list_files(config: Config, base: Path) -> list[SourceFile]:
    """The data files that are wanted.  Raises InputError where the dataset, its revision or a wanted part is not there.

    Files on this machine are hashed like any input; one on the hub is named by the commit, which fixes what it holds.
    """
    if config.local is not None:
        root = Path(os.path.expanduser(config.local))
        root = _snapshot(root if root.is_absolute() else base / root, config)
        found = [(name, size, str(path)) for name, path, size in _walk(root)]
        return [SourceFile(name=n, paths=(p,), size=s) for n, s, p in _wanted(config, found, str(root))]
    commit, listed = _listing(config)
    where = f"{config.dataset}@{commit[:12]}"
    wanted = _wanted(config, [(n, s, "") for n, s in listed if n.lower().endswith(SUFFIXES)], where)
    return [SourceFile(name=f"{config.dataset}@{commit}:{name}", paths=(), size=size) for name, size, _ in wanted]


def _snapshot(root: Path, config: Config) -> Path:
    """The folder of files itself, where `root` is a folder of the hub's cache (refs/, snapshots/<commit>/)."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; wanted a copy of {config.dataset}")
    inner = root / f"datasets--{config.dataset.replace('/', '--')}"
    root = inner if inner.is_dir() else root
    if not (root / "snapshots").is_dir():
        return root
    reference = root / "refs" / config.revision
    commit = config.revision
    if not _COMMIT.match(commit) and ".." not in commit.split("/") and reference.is_file():
        commit = reference.read_text(errors="replace").strip()
    if _COMMIT.match(commit) and (root / "snapshots" / commit).is_dir():
        return root / "snapshots" / commit
    known = sorted(p.name for p in (root / "snapshots").iterdir())
    raise InputError(f"{root}: has no snapshot of revision '{config.revision}'; it has {', '.join(known) or 'none'}")


def _listing(config: Config) -> tuple[str, list[tuple[str, int]]]:
    """The commit that the revision stands for, and the paths and sizes of its files."""
    hub = _hub()
    if not _is_offline():
        try:
            api = hub.HfApi(endpoint=_endpoint())
            commit = str(api.dataset_info(config.dataset, revision=config.revision).sha)
            entries = api.list_repo_tree(config.dataset, recursive=True, revision=commit, repo_type="dataset")
            listed = sorted((e.path, int(e.size)) for e in entries if isinstance(e, hub.hf_api.RepoFile))
            _remember(config, commit, listed)
            return commit, listed
        except Exception as error:
            if _is_refusal(error):
                raise InputError(f"{config.dataset} at '{config.revision}': {_said(error)}") from None
            problem = _said(error)
    else:
        problem = "HF_HUB_OFFLINE is set"
    cache = Path(_cache()) / f"datasets--{config.dataset.replace('/', '--')}"
    known = _remembered(config)
    if known is not None:
        return known
    try:
        root = _snapshot(cache, config)
    except InputError:
        raise InputError(
            f"{config.dataset} at '{config.revision}': the hub cannot be asked ({problem}) and {cache} holds no copy; "
            "connect, or name a copy with  local: FOLDER"
        ) from None
    log.warning("%s: the list of its files is not known (%s), those in %s are read", config.dataset, problem, root)
    return root.name, [(name, size) for name, _, size in _walk(root)]


def _walk(root: Path) -> Iterator[tuple[str, Path, int]]:
    """The data files of a copy; in the hub's cache they are links to blobs two folders up."""
    within = root.parent.parent if root.parent.name == "snapshots" else None
    return walk(root, SUFFIXES, links_into=within)


def _listing_file(config: Config) -> Path:
    """Where the list of a revision's files is kept: a copy that holds but some of them cannot tell."""
    name = f"{stable_hash([config.dataset, config.revision, _endpoint()])[:16]}.json"
    return Path(_cache()) / "llemma-listings" / name


def _remember(config: Config, commit: str, listed: list[tuple[str, int]]) -> None:
    path = _listing_file(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"dataset": config.dataset, "commit": commit, "files": listed})
    except OSError as error:  # the build goes on, only not without the hub
        log.warning("%s: not written: %s", path, error.strerror or error)


def _remembered(config: Config) -> tuple[str, list[tuple[str, int]]] | None:
    try:
        value = read_json(_listing_file(config))
        return str(value["commit"]), [(str(name), int(size)) for name, size in value["files"]]
    except (OSError, LlemmaError, ValueError, KeyError, TypeError):
        return None


def _wanted(config: Config, found: list[tuple[str, int, str]], where: str) -> list[tuple[str, int, str]]:
    """The files that `config`, `split`, `languages` and `files` leave.  Raises InputError that names what there is."""
    if not found:
        raise InputError(f"{where}: holds no data files ({', '.join(SUFFIXES)})")
    for key in ("config", "split"):
        part = getattr(config, key)
        if part is not None:
            kept = [item for item in found if _on_the_way(item[0], part)]
            if not kept:
                names = sorted({step for item in found for step in item[0].split("/")[:-1]})
                hint = did_you_mean(part, names)
                raise InputError(
                    f"{where}: no file of {key} '{part}'{hint}; folders are {', '.join(names[:30]) or 'none'}"
                )
            found = kept
    if config.languages is not None:
        languages = {language_named(language) for language in config.languages}
        there = {item[0]: file_language(item[0]) for item in found}
        absent = sorted(languages - set(there.values()))
        if absent:
            known = sorted(set(there.values()))
            raise InputError(f"{where}: no files in {', '.join(absent)}; there are {', '.join(known[:40])}")
        found = [item for item in found if there[item[0]] in languages]
    for pattern in config.files:
        if not any(fnmatchcase(item[0].lower(), pattern.lower()) for item in found):
            raise InputError(
                f"{where}: no file matches '{pattern}'; there are {', '.join(i[0] for i in found[:10])}, …"
            )
    if config.files:
        patterns = [pattern.lower() for pattern in config.files]
        found = [item for item in found if any(fnmatchcase(item[0].lower(), pattern) for pattern in patterns)]
    return sorted(found)


def _on_the_way(path: str, part: str) -> bool:
    """Whether a folder on the way to the file is called so, or the file's name begins so ("train-00000-of-00002")."""
    *folders, base = path.lower().split("/")
    part = part.lower()
    return part in folders or re.match(rf"{re.escape(part)}(?![a-z])", base) is not None


# ---------------------------------------------------------------- reading


def read(config: Config, file: SourceFile, source: str) -> Iterator[Document | Quarantined]:
    """The documents of one file.  Raises WorkError where it cannot be had: that is no fault of a record."""
    if file.paths:
        yield from _records(config, file.paths[0], file.name, source)
        return
    match = _PIECE.match(file.name)
    assert match is not None, file.name
    inner = match["path"]
    if config.keep_copies:
        yield from _records(config, _download(config.dataset, match["commit"], inner), inner, source)
        return
    with tempfile.TemporaryDirectory(prefix="llemma-hub-") as folder:
        path = _download(config.dataset, match["commit"], inner, folder)
        yield from _records(config, path, inner, source)


def _records(config: Config, path: str, name: str, source: str) -> Iterator[Document | Quarantined]:
    module: Any = parquet if name.lower().endswith(".parquet") else jsonl
    for record in module.read_records(config, path, name, source):
        if isinstance(record, Document):
            record.meta.setdefault("dataset", config.dataset)
        yield record


def _download(dataset: str, commit: str, path: str, folder: str | None = None) -> str:
    """Where a file of a commit lies in the hub's cache, or in a folder of our own, fetched where it is not there yet.

    A broken transfer is resumed.  Raises WorkError where the file cannot be had.
    """
    hub = _hub()
    arguments = {"repo_id": dataset, "filename": path, "repo_type": "dataset", "revision": commit}
    known = hub.try_to_load_from_cache(**arguments, cache_dir=_cache())
    if isinstance(known, str):
        return known
    place = {"cache_dir": _cache()} if folder is None else {"local_dir": folder}
    problem = "HF_HUB_OFFLINE is set and the cache does not hold it"
    for _ in range(0 if _is_offline() else 3):  # chosen by us: what has arrived is kept between tries
        try:
            return str(hub.hf_hub_download(**arguments, **place, endpoint=_endpoint()))
        except Exception as error:
            problem = _said(error)
            if _is_refusal(error):
                break
    raise WorkError(f"{dataset}@{commit[:12]}: {path} could not be fetched: {problem}")


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.hf_api
    except ImportError:
        raise MissingPackageError("huggingface_hub", "data") from None
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _cache() -> str:
    """The hub's cache now: the library itself reads the environment only once, when it is imported."""
    home = os.environ.get("HF_HOME")
    return os.environ.get("HF_HUB_CACHE") or (str(Path(home) / "hub") if home else str(_hub().constants.HF_HUB_CACHE))


def _is_refusal(error: Exception) -> bool:
    """Whether the hub answered that there is no such thing, or not for us: asking again changes nothing."""
    names = {kind.__name__ for kind in type(error).__mro__}
    refusals = {"RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError", "RemoteEntryNotFoundError"}
    return (
        bool(names & {*refusals, "EntryNotFoundError", "HFValidationError"}) and "LocalEntryNotFoundError" not in names
    )


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

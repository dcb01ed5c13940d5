"""Checks a build against its manifest by reading everything again: `python -m proof_pile.build verify OUT`.

verify(out) returns all problems as lines of text, "path: what is wrong"; none when all is well.  Checked are:
- every file of manifest.json: there, of that size and hash; no shard that the manifest does not name;
- the tokenizer: its hash, its size, and that it ends documents as mixture.json says;
- every shard: readable, each document one sequence that ends with the end-of-document id and holds it nowhere else,
  each id below the vocabulary's size, counts as in mixture.json and the manifest, one row a document in the side file;
- no document id twice, in one split or in two, and none that removed.parquet names;
- the counts of the manifest add up, and the mixture's weights and epochs follow from them.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from llemma.core.errors import LlemmaError
from llemma.core.files import sha256_file
from llemma.core.schemas import Mixture, TokenizerInfo
from proof_pile.manifest import MANIFEST, FileEntry, Manifest, artefacts
from proof_pile.mixture import shard_prefixes

if TYPE_CHECKING:
    import numpy as np

    from llemma.core.indexed import IndexedReader

_CHUNK_TOKENS = 1 << 24
_CHUNK_ROWS = 1 << 16


def verify(out: str | Path) -> list[str]:
    """All that is wrong with the build in a folder, a line each; an empty list if nothing is."""
    out = Path(out)
    try:
        manifest = Manifest.read(out)
    except LlemmaError as error:
        return [f"{error}: the build is not finished or is damaged; run it again"]
    problems = [*_file_problems(out, manifest), *_count_problems(manifest)]
    try:
        mixture = Mixture.read(out / "mixture.json")
    except LlemmaError as error:
        return [*problems, str(error)]
    problems += _tokenizer_problems(out, mixture.tokenizer)
    ids = _DocumentIds()
    for source, splits in shard_prefixes(out).items():
        for split, prefix in splits.items():
            try:
                problems += _shard_problems(out, prefix, source, split, mixture, manifest, ids)
            except (LlemmaError, OSError) as error:
                problems.append(str(error))
    problems += _removed_problems(out, ids)
    problems += _mixture_problems(out, mixture, manifest)
    return problems


def _file_problems(out: Path, manifest: Manifest) -> Iterator[str]:
    named = set()
    for entry in manifest.files:
        pure = PurePosixPath(entry.path)
        if pure.is_absolute() or ".." in pure.parts:
            yield f"{MANIFEST}: names '{entry.path}', which is not inside the build"
            continue
        named.add(entry.path)
        problem = _file_problem(out / entry.path, entry)
        if problem:
            yield problem
    for path in artefacts(out):
        name = path.relative_to(out).as_posix()
        if name not in named:
            yield f"{path}: is not in {MANIFEST}"


def _file_problem(path: Path, entry: FileEntry) -> str | None:
    if not path.is_file():
        return f"{path}: is missing"
    size = path.stat().st_size
    if size != entry.bytes:
        return f"{path}: has {size:,} bytes, but {MANIFEST} says {entry.bytes:,}"
    found = sha256_file(path)
    if found != entry.sha256:
        return (
            f"{path}: has the hash {found[:16]}…, but {MANIFEST} says {entry.sha256[:16]}…: its content was changed; "
            "delete the build's 'steps' folder and build again"
        )
    return None


def _count_problems(manifest: Manifest) -> Iterator[str]:
    for name, counts in manifest.sources.items():
        place = f"{MANIFEST}: source '{name}'"
        if counts.read != counts.removed + counts.kept:
            yield f"{place}: {counts.read} documents read, but {counts.removed} removed and {counts.kept} kept"
        split_documents = sum(split.documents for split in counts.splits.values())
        if split_documents != counts.kept:
            yield f"{place}: {counts.kept} documents kept, but its splits hold {split_documents}"


def _tokenizer_problems(out: Path, info: TokenizerInfo) -> Iterator[str]:
    from llemma.core.text.tokenizers import load_tokenizer

    try:
        tokenizer = load_tokenizer(out / info.path, info.eod_id)
    except LlemmaError as error:
        yield str(error)
        return
    found = {"sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size, "eod_id": tokenizer.eod_id}
    for key, value in found.items():
        wanted = getattr(info, key)
        if value != wanted:
            yield f"{out / info.path}: its {key} is {value}, but mixture.json says {wanted}"


def _shard_problems(
    out: Path, prefix: Path, source: str, split: str, mixture: Mixture, manifest: Manifest, ids: _DocumentIds
) -> Iterator[str]:
    from llemma.core.indexed import IndexedReader

    reader = IndexedReader(prefix)
    counts = manifest.sources.get(source)
    recorded = counts.splits.get(split) if counts else None
    if recorded is None:
        yield f"{prefix}.idx: {MANIFEST} knows no split '{split}' of a source '{source}'"
    elif (recorded.documents, recorded.tokens) != (reader.num_documents, reader.num_tokens):
        yield (
            f"{prefix}.idx: has {reader.num_documents} documents and {reader.num_tokens} tokens, but {MANIFEST} says "
            f"{recorded.documents} and {recorded.tokens}"
        )
    for entry in mixture.sources:
        if entry.name == source and split in entry.splits:
            shard = entry.splits[split]
            if (shard.num_documents, shard.num_tokens) != (reader.num_documents, reader.num_tokens):
                yield f"{prefix}.idx: its counts are not those of mixture.json"
            if shard.path != prefix.relative_to(out).as_posix():
                yield f"mixture.json: the {split} split of '{source}' lies at '{shard.path}', not where it should"
    if reader.dtype.name != mixture.tokenizer.dtype:
        yield f"{prefix}.idx: holds {reader.dtype.name}, but mixture.json says {mixture.tokenizer.dtype}"
    yield from _token_problems(prefix, reader, mixture.tokenizer)
    yield from _side_file_problems(prefix, reader, source, split, ids)


def _token_problems(prefix: Path, reader: IndexedReader, tokenizer: TokenizerInfo) -> Iterator[str]:
    import numpy as np

    if reader.num_documents != len(reader):
        yield f"{prefix}.idx: {len(reader)} sequences for {reader.num_documents} documents, but each must be one"
    empty = np.flatnonzero(reader.sizes == 0)
    if empty.size:
        yield f"{prefix}.idx: document {empty[0]} has no tokens, not even an end ({empty.size} such documents)"
    if reader.num_tokens == 0:
        return
    tokens = np.memmap(f"{prefix}.bin", dtype=reader.dtype, mode="r")
    num_ends = 0
    for start in range(0, tokens.size, _CHUNK_TOKENS):
        chunk = tokens[start : start + _CHUNK_TOKENS]
        num_ends += int(np.count_nonzero(chunk == tokenizer.eod_id))
        outside = np.flatnonzero((chunk < 0) | (chunk >= tokenizer.vocab_size))
        if outside.size:
            place = int(outside[0])
            yield (
                f"{prefix}.bin: token {start + place} is {chunk[place]}, but the vocabulary has {tokenizer.vocab_size} "
                f"entries ({outside.size} such tokens in this part)"
            )
    last = np.cumsum(reader.sizes, dtype=np.int64)[reader.sizes > 0] - 1
    without = np.flatnonzero(tokens[last] != tokenizer.eod_id)
    if without.size:
        yield (
            f"{prefix}.bin: document {without[0]} does not end with the end-of-document id {tokenizer.eod_id} "
            f"({without.size} such documents)"
        )
    inside = num_ends - (last.size - without.size)
    if inside:
        yield f"{prefix}.bin: the end-of-document id {tokenizer.eod_id} stands {inside} times inside documents"


def _side_file_problems(
    prefix: Path, reader: IndexedReader, source: str, split: str, ids: _DocumentIds
) -> Iterator[str]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from proof_pile.tokenize.shards import side_file_schema

    path = Path(f"{prefix}.documents.parquet")
    found = bytearray()
    lengths: list[np.ndarray] = []
    sources: set[str] = set()
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow != side_file_schema():
                yield f"{path}: has other columns than the list of a shard's documents"
                return
            for batch in file.iter_batches(batch_size=_CHUNK_ROWS):
                found += binascii.unhexlify(b"".join(_ids(batch.column("id").to_pylist())))
                lengths.append(batch.column("num_tokens").to_numpy(zero_copy_only=False))
                sources.update(batch.column("source").unique().to_pylist())
    except binascii.Error:
        yield f"{path}: holds an id that is not 32 hexadecimal digits"
        return
    except (OSError, pa.ArrowException) as error:
        yield f"{path}: cannot be read as the list of a shard's documents ({error})"
        return
    num_rows = len(found) // 16
    if num_rows != reader.num_documents:
        yield f"{path}: has {num_rows} rows, but the shard has {reader.num_documents} documents"
        return
    all_lengths = np.concatenate(lengths) if lengths else np.empty(0, np.int64)
    if num_rows == len(reader):
        wrong = np.flatnonzero(all_lengths != reader.sizes)
        if wrong.size:
            row = int(wrong[0])
            yield f"{path}: row {row} says {all_lengths[row]} tokens, but the document has {reader.sizes[row]}"
    if sources - {source}:
        yield f"{path}: names another source than '{source}'"
    yield from ids.add(f"{source}/{split}", bytes(found))


def _ids(values: list[str | None]) -> Iterator[bytes]:
    for value in values:
        if value is None or len(value) != 32 or not value.isascii():
            raise binascii.Error
        yield value.encode()


class _DocumentIds:
    """The ids of all documents seen, 16 bytes each, to find those that stand in two places."""

    def __init__(self) -> None:
        self._seen: dict[str, np.ndarray] = {}

    def add(self, place: str, ids: bytes) -> list[str]:
        """Adds a shard's ids, one after the other; returns a problem for each that has been seen."""
        import numpy as np

        # Of fixed length, so that the zero bytes which numpy strips from the end of an S16 make no two ids equal.
        new = np.sort(np.frombuffer(ids, "S16"))
        problems = []
        if new.size and (new[1:] == new[:-1]).any():
            twice = new[1:][new[1:] == new[:-1]]
            problems.append(f"data/{place}: holds document {_hex(twice[0])} twice ({twice.size} such documents)")
        for other, seen in self._seen.items():
            both = _in_both(new, seen)
            if both.size:
                problems.append(
                    f"data/{place}: holds document {_hex(both[0])}, which {other} holds too ({both.size} in all)"
                )
        self._seen[place] = new
        return problems

    def places_of(self, ids: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The shards that hold any of these ids (sorted), and which."""
        for place, seen in self._seen.items():
            both = _in_both(ids, seen)
            if both.size:
                yield place, both


def _in_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The values that stand in two sorted arrays: those of the shorter one are looked up in the longer."""
    import numpy as np

    short, long = sorted((first, second), key=len)
    if not short.size:
        return short
    places = np.minimum(np.searchsorted(long, short), long.size - 1)
    found: np.ndarray = short[long[places] == short]
    return found


def _hex(value: bytes) -> str:
    return bytes(value).ljust(16, b"\0").hex()


def _removed_problems(out: Path, ids: _DocumentIds) -> Iterator[str]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = out / "removed.parquet"
    if not path.is_file():
        return  # the manifest's list of files says so if it should be there
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["id", "reason"], batch_size=1 << 20):
                # Of exact copies and of documents of one name, which share their id, one stays; a filter may drop one
                # version of a name.
                marked = pc.is_in(batch.column("reason"), pa.array(["near-duplicate", "contaminated"]))
                gone = batch.filter(marked)
                raw = b"".join(gone.column("id").cast(pa.binary()).to_pylist())
                for place, both in ids.places_of(np.unique(np.frombuffer(raw, "S16"))):
                    yield (
                        f"data/{place}: holds document {_hex(both[0])}, which {path.name} says was removed "
                        f"({both.size} in all)"
                    )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        yield f"{path}: cannot be read as the list of removed documents ({error})"


def _mixture_problems(out: Path, mixture: Mixture, manifest: Manifest) -> Iterator[str]:
    hashes = {entry.path: entry.sha256 for entry in manifest.files}
    for source in mixture.sources:
        for shard in source.splits.values():
            for suffix, wanted in ((".bin", shard.bin_sha256), (".idx", shard.idx_sha256)):
                if hashes.get(f"{shard.path}{suffix}") != wanted:
                    yield f"mixture.json: the hash of {shard.path}{suffix} is not that of {MANIFEST}"
        train = source.splits.get("train")
        if train is None or train.num_tokens == 0:
            yield f"mixture.json: the source '{source.name}' has no training tokens"
            continue
        epochs = source.weight * mixture.planned_tokens / train.num_tokens
        if abs(epochs - source.epochs) > 1e-6 * max(1.0, epochs):
            yield (
                f"mixture.json: '{source.name}' has {source.epochs:.6g} epochs, "
                f"but its weight and tokens give {epochs:.6g}"
            )

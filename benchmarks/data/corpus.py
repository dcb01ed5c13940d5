"""Text for benchmarks, of any size, that anyone can make again: documents of installed packages and of given folders.

    python benchmarks/data/corpus.py OUT --megabytes 1000 [FOLDER ...]

Writes OUT/part-00000.jsonl.zst and on ({"name", "text"} lines, about 32 MB of text each).  The documents are the text
files of the folders and of the running Python's packages, in an order drawn by a hash of their names.  Where they are
not enough they come again and again, each time with every word of four letters or more replaced by one of about the
same frequency: words and their frequencies stay those of real text, and no copy is a near-duplicate of another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import site
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import zstandard

SUFFIXES = {
    ".py",
    ".md",
    ".rst",
    ".txt",
    ".tex",
    ".lean",
    ".v",
    ".thy",
    ".c",
    ".h",
    ".jl",
    ".r",
    ".f90",
    ".html",
    ".agda",
}
MAX_BYTES = 1 << 20
PART_BYTES = 32 << 20
_WORD = re.compile(r"[A-Za-z]{4,}")


def documents(folders: Sequence[Path]) -> list[Path]:
    """The text files below the folders, in an order that does not depend on the machine's."""
    found = [
        (hashlib.blake2b(path.relative_to(folder).as_posix().encode(), digest_size=8).digest(), path)
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and 200 <= path.stat().st_size <= MAX_BYTES
    ]
    return [path for _, path in sorted(found)]


def texts(folders: Sequence[Path], num_bytes: int) -> Iterator[tuple[str, str]]:
    """(name, text) of so many bytes of text in all."""
    paths = documents(folders)
    if not paths:
        raise SystemExit("there is no text file in " + ", ".join(map(str, folders)))
    counted: Counter[str] = Counter()
    done = copy = 0
    renamed: dict[str, str] = {}
    while True:
        for number, path in enumerate(paths):
            try:
                text = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):
                continue
            if copy == 0:
                counted.update(set(_WORD.findall(text)))
            else:
                text = _renamed(text, renamed)
            yield f"{copy}/{number}/{path.name}", text
            done += len(text.encode())
            if done >= num_bytes:
                return
        copy += 1
        renamed = _renaming([word for word, _ in counted.most_common(200_000)], copy)


def _renamed(text: str, stand_ins: dict[str, str]) -> str:
    return _WORD.sub(lambda match: stand_ins.get(match[0], match[0]), text)


def _renaming(words: list[str], seed: int) -> dict[str, str]:
    """Each word's stand-in: another one of nearly its frequency."""
    draw = random.Random(seed)
    stand_ins: dict[str, str] = {}
    for begin in range(0, len(words), 64):
        block = words[begin : begin + 64]
        others = block.copy()
        draw.shuffle(others)
        stand_ins.update(zip(block, others, strict=True))
    return stand_ins


def write_corpus(out: Path, megabytes: int, folders: Sequence[Path] = ()) -> None:
    """Writes the parts; a folder that holds them already is left as it is."""
    marker = out / "complete.json"
    wanted = {"megabytes": megabytes, "folders": [str(folder) for folder in folders]}
    if marker.exists() and json.loads(marker.read_text()) == wanted:
        return
    out.mkdir(parents=True, exist_ok=True)
    roots = [*folders, *(Path(path) for path in site.getsitepackages())]
    part: list[str] = []
    size = number = 0
    for name, text in texts(roots, megabytes * 10**6):
        part.append(json.dumps({"name": name, "text": text}, ensure_ascii=False))
        size += len(text.encode())
        if size >= PART_BYTES:
            _write_part(out, number, part)
            part, size, number = [], 0, number + 1
    if part:
        _write_part(out, number, part)
    marker.write_text(json.dumps(wanted))


def _write_part(out: Path, number: int, lines: list[str]) -> None:
    data = ("\n".join(lines) + "\n").encode()
    (out / f"part-{number:05d}.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=3).compress(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--megabytes", type=int, default=1000)
    args = parser.parse_args()
    write_corpus(args.out, args.megabytes, args.folders)


if __name__ == "__main__":
    main()

"""Datasets of the Hugging Face hub: against a small server that speaks its end points, and against local copies."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llemma.core.errors import InputError, WorkError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATASET = "someone/proof-pile-2"


def lines(*records: dict[str, object]) -> bytes:
    return zstandard.compress("".join(json.dumps(record) + "\n" for record in records).encode())


def snapshot(folder: Path) -> dict[str, bytes]:
    """Proof-Pile-2's layout: a loading script, and files by part, split and language."""
    files = {
        "proof-pile-2.py": b"raise SystemExit('a loading script was run')\n",
        "README.md": b"# a card\n",
        "algebraic-stack/train/lean0000.jsonl.zst": lines(
            {"text": "theorem a", "meta": {"author": "x", "repo": "y", "sha": "1", "path": "src/a.lean"}},
            {"text": "theorem b", "meta": json.dumps({"repo": "z", "author": "x", "path": "b.lean"})},
        ),
        "algebraic-stack/train/matlab-1.jsonl.zst": lines({"text": "x = 1;", "meta": {"path": "a.m", "repo": "m"}}),
        "algebraic-stack/test/lean-test.jsonl.zst": lines({"text": "theorem t", "meta": {}}),
        "arxiv/train/arXiv_000.jsonl.zst": lines({"text": "\\section{A}", "meta": {"arxiv_id": "2101.00001"}}),
    }
    table = pa.table({"content": ["import numpy"], "lang": ["Python"], "max_stars_repo_path": ["a.py"],
                      "max_stars_repo_name": ["o/r"], "hexsha": ["ff"]})  # fmt: skip
    (folder / "data/python").mkdir(parents=True)
    pq.write_table(table, folder / "data/python/train-00000-of-00001.parquet")
    files["data/python/train-00000-of-00001.parquet"] = (
        folder / "data/python/train-00000-of-00001.parquet"
    ).read_bytes()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return files


class Hub(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes]
    asked: list[str]
    break_after: int | None

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        self.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if path in (f"/api/datasets/{DATASET}/revision/main", f"/api/datasets/{DATASET}/revision/{COMMIT}"):
            return self.send_json({"id": DATASET, "sha": COMMIT, "siblings": []})
        if path == f"/api/datasets/{DATASET}/tree/{COMMIT}":
            entries = [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in self.files.items()]
            return self.send_json(entries)
        match = re.fullmatch(rf"/datasets/{DATASET}/resolve/{COMMIT}/(.+)", path)
        if match and match[1] in self.files:
            return self.send_file(self.files[match[1]], body=body)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def send_json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_file(self, data: bytes, *, body: bool) -> None:
        ranged = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(ranged[1]) if ranged else 0
        self.send_response(206 if ranged else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            stop = start + type(self).break_after if type(self).break_after is not None else len(data)
            type(self).break_after = None
            self.wfile.write(data[start:stop])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    class Here(Hub):
        files = snapshot(tmp_path / "origin")
        break_after = None

    Here.asked = []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield Here
    running.shutdown()
    thread.join()
    running.server_close()


def read_all(base: Path, **settings: object) -> list[Document | Quarantined]:
    config = hub.Config(kind="hub", dataset=DATASET, **settings)
    return [r for file in hub.list_files(config, base) for r in hub.read(config, file, "web")]


def names(base: Path, **settings: object) -> list[str]:
    return [r.name for r in read_all(base, **settings) if isinstance(r, Document)]


def test_dataset_with_a_loading_script_is_read_from_its_files(server: type[Hub], tmp_path: Path) -> None:
    """datasets 5 refuses Proof-Pile-2 by name: it comes with a script."""
    records = read_all(tmp_path, config="algebraic-stack", split="train")
    assert [r.name for r in records if isinstance(r, Document)] == ["x/y/src/a.lean", "x/z/b.lean", "m/a.m"]
    first = records[0]
    assert isinstance(first, Document)
    assert first.meta == {
        "language": "lean", "repo": "x/y", "path": "src/a.lean", "commit": "1", "dataset": DATASET,
    }  # fmt: skip


def test_pieces_are_named_by_the_commit_that_the_revision_stood_for(server: type[Hub], tmp_path: Path) -> None:
    config = hub.Config(kind="hub", dataset=DATASET, languages=("lean",), split="train")
    (file,) = hub.list_files(config, tmp_path)
    assert file.name == f"{DATASET}@{COMMIT}:algebraic-stack/train/lean0000.jsonl.zst"
    assert file.paths == () and file.size == len(server.files["algebraic-stack/train/lean0000.jsonl.zst"])
    assert not any("/resolve/" in line for line in server.asked)  # planning fetches nothing


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"languages": ["Matlab"]}, ["m/a.m"]),  # the script's own list says Matlab where the file says matlab
        ({"config": "ArXiv"}, ["2101.00001"]),
        ({"files": ["*/TEST/*"]}, [""]),
        ({"languages": ["python"]}, ["o/r/a.py"]),
        ({"config": "python", "split": "train"}, ["o/r/a.py"]),
    ],
)
def test_parts_are_chosen_whatever_their_case(
    server: type[Hub], tmp_path: Path, settings: dict[str, object], wanted: list[str]
) -> None:
    assert names(tmp_path, **settings) == wanted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config": "algebraic-stak"}, "did you mean 'algebraic-stack'"),
        ({"languages": ["cobol"]}, "no files in cobol; there are .*lean"),
        ({"files": ["*.csv"]}, "no file matches"),
    ],
)
def test_part_that_is_not_there_is_an_error_that_names_what_is(
    server: type[Hub], tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        names(tmp_path, **settings)


def test_dataset_that_the_hub_has_not_got_is_an_error(server: type[Hub], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no/such"):
        hub.list_files(hub.Config(kind="hub", dataset="no/such"), tmp_path)


def test_second_build_reads_the_copy_also_without_the_hub(
    server: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = names(tmp_path, languages=["lean"], split="train")
    num_asked = len(server.asked)
    config = hub.Config(kind="hub", dataset=DATASET, languages=("lean",), split="train")
    files = hub.list_files(config, tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert [r.name for f in files for r in hub.read(config, f, "web") if isinstance(r, Document)] == wanted
    assert len(server.asked) == num_asked + 2  # the two questions of the listing
    assert [f.name for f in hub.list_files(config, tmp_path)] == [f.name for f in files]
    everything = hub.list_files(hub.Config(kind="hub", dataset=DATASET), tmp_path)
    assert len(everything) == 5  # also those of which there is no copy: a build without them would be another one
    with pytest.raises(WorkError, match="HF_HUB_OFFLINE"):
        list(hub.read(config, hub.SourceFile(name=f"{DATASET}@{COMMIT}:absent.jsonl", paths=(), size=1), "web"))


def test_transfer_that_breaks_is_taken_up_again(server: type[Hub], tmp_path: Path) -> None:
    server.files["big/train/x.jsonl"] = b"".join(b'{"text": "t%d", "id": "%d"}\n' % (n, n) for n in range(3000))
    server.break_after = 20_000
    assert len(names(tmp_path, config="big")) == 3000
    assert sum(line.startswith("GET") and "x.jsonl" in line for line in server.asked) == 2


def test_copies_are_not_kept_where_the_recipe_says_so(server: type[Hub], tmp_path: Path) -> None:
    assert names(tmp_path, languages=["lean"], split="train", keep_copies=False) == ["x/y/src/a.lean", "x/z/b.lean"]
    assert not list((tmp_path / "home").rglob("lean0000*"))


def test_copy_on_this_machine_is_read_without_the_hub(tmp_path: Path) -> None:
    snapshot(tmp_path / "copy")
    records = read_all(tmp_path, local="copy", config="algebraic-stack", split="train")
    assert [r.name for r in records if isinstance(r, Document)] == ["x/y/src/a.lean", "x/z/b.lean", "m/a.m"]
    config = hub.Config(kind="hub", dataset=DATASET, local="copy", languages=("matlab",))
    (file,) = hub.list_files(config, tmp_path)
    assert file.paths == (str(tmp_path / "copy/algebraic-stack/train/matlab-1.jsonl.zst"),)


def test_folder_of_the_hubs_cache_is_read_at_the_revision(tmp_path: Path) -> None:
    """Its files are links to blobs outside of the snapshot's folder, and such links are else not followed."""
    root = tmp_path / "hub/datasets--someone--proof-pile-2"
    for name in snapshot(root / "snapshots" / COMMIT):
        path = root / "snapshots" / COMMIT / name
        blob = root / "blobs" / hashlib.sha1(path.read_bytes()).hexdigest()
        blob.parent.mkdir(exist_ok=True)
        path.rename(blob)
        path.symlink_to(blob)
    (root / "snapshots" / COMMIT / "stolen.jsonl").symlink_to("/etc/passwd")
    (root / "refs").mkdir()
    (root / "refs/main").write_text(COMMIT)
    assert len(names(tmp_path, local="hub", languages=["lean"])) == 3
    assert len(names(tmp_path, local=str(root), revision=COMMIT, languages=["lean"])) == 3
    with pytest.raises(InputError, match="has no snapshot of revision 'v2'"):
        names(tmp_path, local="hub", revision="v2")


def test_hub_that_cannot_be_reached_is_an_error_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(InputError, match="name a copy with  local: FOLDER"):
        names(tmp_path)

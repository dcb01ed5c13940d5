"""Git repositories, read from their objects."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llemma.core.errors import InputError
from proof_pile.documents import Document, Quarantined
from proof_pile.sources import git, object_store
from proof_pile.sources.object_store import GitError, ObjectStore

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy\n"


def run_git(folder: Path, *arguments: str, when: str = "2023-01-02T03:04:05Z") -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_COMMITTER_DATE": when,
    }  # fmt: skip
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, files: dict[str, str | bytes], when: str = "2023-01-02T03:04:05Z") -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "-m", "x", when=when)
    return run_git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "many" / "proofs"
    folder.mkdir(parents=True)
    run_git(folder, "init", "-q", "-b", "main")
    commit(
        folder,
        {
            "LICENSE": MIT,
            "src/a.lean": "theorem a : true := trivial\n",
            "src/b.v": "Lemma b : True.\n",
            "vendor/x/COPYING": "GNU GENERAL PUBLIC LICENSE Version 3\n",
            "vendor/x/deep/c.lean": "theorem c : true := trivial\n",
            "notes.xyz": "no known ending\n",
            "bad.m": b"x = \xff\xfe1;\n",
            "empty.py": "",
        },
    )
    return folder


def read_all(path: Path, **settings: object) -> list[Document | Quarantined]:
    config = git.Config(kind="git", path=str(path), **settings)
    return [r for file in git.list_files(config, path) for r in git.read(config, file, "code")]


def documents(path: Path, **settings: object) -> dict[str, Document]:
    return {r.name: r for r in read_all(path, **settings) if isinstance(r, Document)}


def test_checkout_gives_files_with_language_commit_and_licence_of_their_folder(repository: Path) -> None:
    found = documents(repository)
    assert sorted(found) == ["proofs/src/a.lean", "proofs/src/b.v", "proofs/vendor/x/deep/c.lean"]
    meta = found["proofs/src/a.lean"].meta
    assert (meta["language"], meta["repo"], meta["path"]) == ("lean", "proofs", "src/a.lean")
    assert (meta["licence"], meta["committed"]) == ("MIT", "2023-01-02")
    assert meta["commit"] == run_git(repository, "rev-parse", "HEAD")
    assert found["proofs/vendor/x/deep/c.lean"].meta["licence"] == "GPL-3.0"
    (bad,) = [r for r in read_all(repository) if isinstance(r, Quarantined)]
    assert (bad.path, bad.reason) == ("proofs/bad.m", "invalid UTF-8 at byte 4")


def test_work_tree_does_not_count_only_what_is_committed(repository: Path) -> None:
    (repository / "src/a.lean").write_text("changed but not committed")
    (repository / "src/new.lean").write_text("not committed")
    assert documents(repository)["proofs/src/a.lean"].text == "theorem a : true := trivial\n"


def test_bare_mirror_packed_or_not_gives_the_same_documents_as_the_checkout(repository: Path, tmp_path: Path) -> None:
    run_git(tmp_path, "clone", "-q", "--mirror", str(repository), str(tmp_path / "bare" / "proofs.git"))
    run_git(tmp_path / "bare" / "proofs.git", "gc", "-q")
    from_parent = documents(tmp_path / "bare")
    assert from_parent == documents(repository)
    assert from_parent == documents(tmp_path / "bare" / "proofs.git")


def test_folder_of_many_repositories_is_searched_and_names_them(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "many" / "owner+other" / "repo")
    (tmp_path / "many" / "linked").symlink_to(repository)
    (tmp_path / "many" / "owner+other" / ".loop").symlink_to(tmp_path / "many")
    (tmp_path / "many" / "group").mkdir()
    (tmp_path / "many" / "group" / "loop").symlink_to(tmp_path / "many")
    names = [name for name, _ in git.find_repositories(tmp_path / "many")]
    assert names == ["linked", "owner+other/repo", "proofs"]
    (tmp_path / "many" / "owner+other" / ".loop").unlink()
    names = [name for name, _ in git.find_repositories(tmp_path / "many")]
    assert names == ["linked", "owner+other", "proofs"]


def test_date_takes_the_latest_commit_before_it(repository: Path) -> None:
    commit(repository, {"src/late.lean": "theorem late : true := trivial\n"}, when="2023-04-01T00:00:00Z")
    late = "proofs/src/late.lean"
    assert late not in documents(repository, before=datetime.date(2023, 4, 1))
    assert late in documents(repository, before=datetime.date(2023, 4, 2))
    assert late in documents(repository)


def test_matlab_as_it_was_on_a_day_is_read_like_every_language(repository: Path) -> None:
    """process_github.py has `argsinit_date` for args.init_date in its part for Matlab: it ended with a NameError."""
    commit(repository, {"ok.m": "y = x;\n"})
    commit(repository, {"ok.m": "y = z;\n"}, when="2023-06-01T00:00:00Z")
    found = documents(repository, languages=("matlab",), before=datetime.date(2023, 4, 1))
    assert {name: document.text for name, document in found.items()} == {"proofs/ok.m": "y = x;\n"}


def test_repository_without_a_commit_so_old_is_quarantined_alone(repository: Path) -> None:
    other = repository.parent / "newer"
    other.mkdir()
    run_git(other, "init", "-q", "-b", "main")
    commit(other, {"x.lean": "theorem x : true := trivial"}, when="2024-01-01T00:00:00Z")
    records = read_all(repository.parent, before=datetime.date(2023, 2, 1), languages=("lean",))
    (record,) = [r for r in records if isinstance(r, Quarantined)]
    assert record.path == "newer@" and "no commit before that date" in record.reason
    assert sum(isinstance(r, Document) for r in records) == 2


def test_branch_tag_and_hash_name_a_commit_and_others_are_refused(repository: Path) -> None:
    first = run_git(repository, "rev-parse", "HEAD")
    run_git(repository, "tag", "-a", "v1", "-m", "annotated")
    run_git(repository, "branch", "old")
    commit(repository, {"src/a.lean": "theorem a2 : true := trivial\n"})
    for revision in (first, "v1", "old"):
        assert documents(repository, revision=revision)["proofs/src/a.lean"].text.startswith("theorem a :")
    with ObjectStore(repository / ".git") as store:
        for name in ("no-such", "../../../etc/passwd", "--all", "/etc/passwd"):
            with pytest.raises(GitError):
                store.resolve(name)


def test_links_submodules_and_lfs_pointers_are_no_documents(repository: Path) -> None:
    (repository / "link.lean").symlink_to("src/a.lean")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    commit(repository, {"big.lean": pointer})
    run_git(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub.lean")
    run_git(repository, "commit", "-q", "-m", "submodule")
    records = read_all(repository, languages=("lean",))
    assert {r.name for r in records if isinstance(r, Document)} == {"proofs/src/a.lean", "proofs/vendor/x/deep/c.lean"}
    assert [r.reason[:15] for r in records if isinstance(r, Quarantined)] == ["Git LFS pointer"]


def test_configuration_of_the_repository_is_never_obeyed(repository: Path, tmp_path: Path) -> None:
    """A clone brings its own .git/config; `git` run inside of it would start the programs that it names."""
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "remote.origin.uploadpack", "alias.ls-tree"):
        run_git(repository, "config", key, f"!{trap}" if key.startswith("alias") else str(trap))
    run_git(repository, "config", "extensions.partialClone", "origin")
    run_git(repository, "config", "remote.origin.url", f"ext::{trap}")
    run_git(repository, "config", "remote.origin.promisor", "true")
    (repository / ".git/hooks").mkdir(exist_ok=True)
    shutil.copy(trap, repository / ".git/hooks/post-checkout")
    sha = run_git(repository, "rev-parse", "HEAD:src/a.lean")
    (repository / ".git/objects" / sha[:2] / sha[2:]).unlink()
    records = read_all(repository, languages=("lean",))
    assert not (tmp_path / "sprung").exists()
    assert [r.name for r in records if isinstance(r, Document)] == ["proofs/vendor/x/deep/c.lean"]
    assert [r.path for r in records if isinstance(r, Quarantined)] == ["proofs/src/a.lean"]


def test_repository_of_someone_else_is_read(repository: Path) -> None:
    """git refuses to work in a folder of another user ("dubious ownership") unless it is told not to mind."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    for folder, _, files in os.walk(repository):
        for name in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(name, 12345, 12345)
    assert len(documents(repository)) == 3


def test_damaged_repository_is_quarantined_and_the_others_are_read(repository: Path) -> None:
    other = repository.parent / "broken"
    shutil.copytree(repository, other)
    for path in (other / ".git/objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"garbage")
    records = read_all(repository.parent, languages=("lean",))
    assert sum(isinstance(r, Document) for r in records) == 2
    assert [r.path.split("@")[0] for r in records if isinstance(r, Quarantined)] == ["broken"]


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty"])
def test_damaged_object_costs_its_file_and_not_those_behind_it(repository: Path, damage: str) -> None:
    """git ends at the first object that it cannot unpack, and all files of the piece behind it were lost with it."""
    commit(repository, {f"many/f{n:02d}.lean": f"theorem t{n} : true := trivial\n" * 9 for n in range(20)})
    for number in (3, 4, 11):
        sha = run_git(repository, "rev-parse", f"HEAD:many/f{number:02d}.lean")
        path = repository / ".git/objects" / sha[:2] / sha[2:]
        path.chmod(0o644)
        path.write_bytes({"garbage": b"garbage", "cut": path.read_bytes()[:20], "empty": b""}[damage])
    records = read_all(repository, languages=("lean",))
    lost = {f"proofs/many/f{n:02d}.lean" for n in (3, 4, 11)}
    assert {r.path for r in records if isinstance(r, Quarantined)} == lost
    assert len([r for r in records if isinstance(r, Document)]) == 2 + 17


def test_damaged_pack_costs_the_objects_that_it_hits(repository: Path) -> None:
    texts = {f"many/f{n:02d}.lean": hashlib.sha512(b"%d" % n).hexdigest() * 9 for n in range(60)}
    commit(repository, texts)
    run_git(repository, "gc", "-q")
    [pack] = (repository / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 10] = bytes(10)
    pack.write_bytes(data)
    records = read_all(repository, languages=("lean",))
    lost = [r for r in records if isinstance(r, Quarantined)]
    kept = {r.name: r.text for r in records if isinstance(r, Document)}
    assert 1 <= len(lost) <= 3 and all(r.reason.endswith("is damaged") for r in lost)
    assert len(kept) == 62 - len(lost)
    assert all(kept[f"proofs/{name}"] == text for name, text in texts.items() if f"proofs/{name}" in kept)


def test_repository_with_more_damage_than_is_borne_is_given_up(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, {f"many/f{n:02d}.lean": f"theorem t{n} : true := trivial\n" * 9 for n in range(9)})
    for number in range(2, 9):
        sha = run_git(repository, "rev-parse", f"HEAD:many/f{number:02d}.lean")
        path = repository / ".git/objects" / sha[:2] / sha[2:]
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:20])
    monkeypatch.setattr(object_store, "MAX_DAMAGED", 3)
    faults = [r for r in read_all(repository, languages=("lean",)) if isinstance(r, Quarantined)]
    assert [fault.path for fault in faults[:-1]] == [f"proofs/many/f0{n}.lean" for n in (2, 3, 4)]
    assert "more than 3 damaged objects: read up to many/f05.lean" in faults[-1].reason


def test_large_repository_is_read_in_parts_that_make_the_whole(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, {f"many/f{n:03d}.lean": f"-- {n}\n" * 20 for n in range(50)})
    whole = documents(repository)
    monkeypatch.setattr(git, "PART_BYTES", 1000)
    config = git.Config(kind="git", path=str(repository))
    files = git.list_files(config, repository)
    assert len(files) > 5 and len({file.name for file in files}) == len(files)
    assert documents(repository) == whole


def test_capped_source_takes_an_even_part_that_does_not_change(repository: Path) -> None:
    commit(repository, {f"many/f{n:03d}.lean": f"-- {n:03d}\n" * 20 for n in range(50)})
    names = list(documents(repository, languages=("lean",), max_bytes=1600))
    assert 10 <= len(names) <= 13  # of 140 bytes, and two shorter ones
    assert names == list(documents(repository, languages=("lean",), max_bytes=1600))
    assert set(names) < set(documents(repository, languages=("lean",), max_bytes=3200))


def test_bounds_on_repository_and_file_are_kept(repository: Path) -> None:
    with pytest.raises(InputError, match="no file in"):
        read_all(repository, max_repo_bytes=10)
    records = read_all(repository, languages=("lean",), max_file_bytes=10)
    assert {r.reason for r in records if isinstance(r, Quarantined)} == {"file longer than 10 bytes"}


def test_new_commit_is_a_new_piece_of_input(repository: Path) -> None:
    config = git.Config(kind="git", path=str(repository))
    (before,) = git.list_files(config, repository)
    commit(repository, {"src/a.lean": "theorem a3 : true := trivial\n"})
    (after,) = git.list_files(config, repository)
    assert before.name != after.name and before.paths == after.paths


def test_folder_without_a_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no git repository"):
        read_all(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_all(tmp_path / "absent")

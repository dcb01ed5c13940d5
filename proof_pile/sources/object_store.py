"""Reading git repositories that nobody vouches for: commits, file lists and blobs straight from the object store.

git is run in a folder of our own, with the repository's objects named by GIT_OBJECT_DIRECTORY.  So nothing of the
repository's configuration is ever read: no hook, file monitor, filter, alias, replacement or fetch of it can run, and
whose files they are does not matter.  References are read by ourselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llemma.core.errors import InputError

_HASH = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_MAX_REF_BYTES = 64 << 20
MAX_DAMAGED = 1000  # chosen by us: each costs the start of a process, and of such a repository little is left


class GitError(Exception):
    """Raised when a repository cannot be read: it is damaged, or lacks what was asked for."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a commit.  `size` is -1 where the object is missing (a partial clone)."""

    path: str
    sha: str
    size: int


def find_git_directory(folder: Path) -> Path | None:
    """The git directory of a checkout, a bare repository or a linked work tree; None where the folder is none."""
    inner = folder / ".git"
    if inner.is_file():
        text = inner.read_text(encoding="utf-8", errors="replace")[:4096]
        if not text.startswith("gitdir:"):
            return None
        found = (folder / text[len("gitdir:") :].strip()).resolve()
        return found if (found / "HEAD").is_file() else None
    for candidate in (inner, folder):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    return None


class ObjectStore:
    """An open repository; a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        common = directory / "commondir"  # a linked work tree keeps objects and branches elsewhere
        self._common = (directory / common.read_text().strip()).resolve() if common.is_file() else directory
        if not (self._common / "objects").is_dir():
            raise GitError("no folder 'objects'")
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> ObjectStore:
        if shutil.which("git") is None:
            raise InputError("the program 'git' is needed for a source of kind git: install it (apt install git)")
        self._own = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="llemma-git-")))
        for folder in ("objects", "refs"):
            (self._own / folder).mkdir()
        (self._own / "HEAD").write_text("ref: refs/heads/none\n")
        config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
        if self._object_format() == "sha256":
            config += "[extensions]\n\tobjectformat = sha256\n"
        (self._own / "config").write_text(config)
        shallow = self._common / "shallow"
        if shallow.is_file():  # where a shallow clone's history ends
            lines = [line for line in shallow.read_text(errors="replace").split() if _HASH.match(line)]
            (self._own / "shallow").write_text("".join(f"{line}\n" for line in lines))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _object_format(self) -> str:
        try:
            return "sha256" if len(self.resolve("HEAD")) == 64 else "sha1"
        except GitError:
            return "sha1"

    # ------------------------------------------------------------ references

    def resolve(self, name: str) -> str:
        """The hash that a branch, tag, HEAD or full hash stands for.  Raises GitError where it stands for none."""
        if _HASH.match(name):
            return name
        if "\0" in name or ".." in name.split("/") or name.startswith(("/", "-")):
            raise GitError(f"'{name[:100]}' is not the name of a branch or tag")
        candidates = ["HEAD"] if name == "HEAD" else [f"refs/{k}/{name}" for k in ("tags", "heads", "remotes/origin")]
        for candidate in [*candidates, name]:
            if (found := self._reference(candidate)) is not None:
                return found
        if (self._common / "reftable").is_dir():
            raise GitError("its references are kept as reftables: convert it with  git refs migrate --ref-format=files")
        raise GitError(f"has no branch, tag or commit '{name[:100]}'")

    def _reference(self, name: str, depth: int = 0) -> str | None:
        if depth > 5:
            return None
        for root in (self.directory, self._common):
            path = root / name
            if path.is_file():
                text = path.read_text(errors="replace")[:1000].strip()
                if text.startswith("ref:"):
                    target = text[4:].strip()
                    if ".." in target.split("/") or target.startswith("/"):
                        return None
                    return self._reference(target, depth + 1)
                if _HASH.match(text):
                    return text
        return self._packed().get(name)

    def _packed(self) -> dict[str, str]:
        path = self._common / "packed-refs"
        if not path.is_file() or path.stat().st_size > _MAX_REF_BYTES:
            return {}
        found = {}
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            sha, _, name = line.partition(" ")
            if _HASH.match(sha):
                found[name] = sha
        return found

    # ------------------------------------------------------------ objects

    def commit(self, revision: str, before: int | None = None) -> str:
        """The hash of the commit that `revision` names, or of the latest one from there committed before a time.

        `before` is in seconds since 1970, UTC.  Raises GitError where there is none.
        """
        sha = self.resolve(revision)
        if before is None:
            return self._line("rev-parse", "--verify", "--quiet", f"{sha}^{{commit}}", fault=f"no commit {sha}")
        fault = "no commit before that date"
        return self._line("rev-list", "--max-count=1", f"--min-age={before - 1}", sha, fault=fault)

    def commit_time(self, commit: str) -> int:
        """When a commit was made, in seconds since 1970."""
        return int(self._line("show", "--no-patch", "--format=%ct", commit, fault=f"no commit {commit}"))

    def blobs(self, commit: str) -> list[Blob]:
        """All regular files of a commit in order of path; links and submodules are passed over."""
        done = self._run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        found = []
        for entry in done.split(b"\0"):
            head, tab, path = entry.partition(b"\t")
            if not tab:
                continue
            mode, kind, sha, size = head.split()
            if kind == b"blob" and mode != b"120000":
                name = path.decode("utf-8", "backslashreplace")
                found.append(Blob(name, sha.decode(), int(size) if size.isdigit() else -1))
        return found

    def read(self, blobs: Iterable[Blob]) -> Iterator[tuple[Blob, bytes | str]]:
        """Each blob with its bytes, or with what is wrong with it.  One process for all, and a new one after damage.

        Raises GitError where more than MAX_DAMAGED objects are damaged.
        """
        left = list(blobs)
        num_damaged = 0
        while left:
            num_read = 0
            for record in self._read_until_damage(left):
                num_read += 1
                yield record
            if num_read == len(left):
                return
            num_damaged += 1
            if num_damaged > MAX_DAMAGED:
                raise GitError(f"has more than {MAX_DAMAGED} damaged objects: read up to {left[num_read].path}")
            yield left[num_read], f"object {left[num_read].sha} is damaged"
            left = left[num_read + 1 :]

    def _read_until_damage(self, wanted: list[Blob]) -> Iterator[tuple[Blob, bytes | str]]:
        """What `read` gives, up to the first object at which git ends."""
        with tempfile.TemporaryFile() as questions:
            questions.write("".join(f"{blob.sha}\n" for blob in wanted).encode())
            questions.seek(0)
            process = subprocess.Popen(
                ["git", "cat-file", "--batch", "--buffer"],
                stdin=questions, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment(),
                cwd=self._own,
            )  # fmt: skip
            assert process.stdout is not None
            try:
                for blob in wanted:
                    head = process.stdout.readline().split()
                    if len(head) == 2 and head[1] == b"missing":
                        yield blob, f"object {blob.sha} is missing or cannot be opened (a partial clone?)"
                        continue
                    if len(head) != 3 or head[1] != b"blob" or not head[2].isdigit():
                        return
                    data = process.stdout.read(int(head[2]))
                    if len(data) != int(head[2]) or process.stdout.read(1) != b"\n":
                        return
                    yield blob, data
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._own),
            "LC_ALL": "C",
            "GIT_DIR": str(self._own),
            "GIT_OBJECT_DIRECTORY": str(self._common / "objects"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": "",
        }

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, env=self._environment(), cwd=self._own, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"git {arguments[0]} failed"
            raise GitError(said[:300])
        return done.stdout

    def _line(self, *arguments: str, fault: str) -> str:
        try:
            line = self._run(*arguments).decode().strip()
        except GitError as error:
            raise GitError(f"{fault} ({error})") from None
        if not line:
            raise GitError(fault)
        return line.split("\n")[-1]

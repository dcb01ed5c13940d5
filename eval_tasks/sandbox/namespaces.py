"""Namespaces: a world of its own for the server, and inside it one for each program.

The server gets new user, PID, mount, network, IPC and UTS namespaces and sees nothing but the folders that Python
needs, read-only.  Each program gets below that its own PID, mount and user namespace and an empty /tmp that goes
with it.  There is no /proc.  When the server dies the kernel kills all that runs in its PID namespace.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from eval_tasks.sandbox import kernel

LAYERS = ("user", "PID", "mount", "network", "IPC")
PROGRAM_ID = 65534  # user and group "nobody", for programs where the server is root
_SERVER_FLAGS = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
_DEVICES = ("null", "zero", "random", "urandom")


def enter(readable: Sequence[str]) -> None:
    """Moves this process, and for the PID namespace its next children, into the server's world.  Raises OSError."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _enter_as_root()
    else:
        kernel.unshare(_SERVER_FLAGS)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {user} 1")
        _write("/proc/self/gid_map", f"0 {group} 1")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _change_root(readable)


def _enter_as_root() -> None:
    """Root's world also has the user nobody: only a process that stayed outside may say so."""
    outside = os.getpid()
    gone_reader, gone_writer = os.pipe()
    helper = os.fork()
    if not helper:
        os.close(gone_writer)
        code = 1
        try:
            os.read(gone_reader, 1)
            for kind in ("uid", "gid"):
                _write(f"/proc/{outside}/{kind}_map", f"0 0 1\n{PROGRAM_ID} {PROGRAM_ID} 1\n")
            code = 0
        finally:
            os._exit(code)
    os.close(gone_reader)
    try:
        kernel.unshare(_SERVER_FLAGS & ~kernel.CLONE_NEWPID)
    finally:
        os.close(gone_writer)
        _, status = os.waitpid(helper, 0)
    if status:
        raise PermissionError("uid_map: this root may not map a second user into a namespace")
    kernel.unshare(kernel.CLONE_NEWPID)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _change_root(readable: Sequence[str]) -> None:
    """A new root of the readable folders, four devices and an empty /tmp; the old one is let go of."""
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    devices = [f"/dev/{name}" for name in _DEVICES]
    # Held open, for the new root's tmpfs covers /tmp, where one of them might lie.
    held = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in [*readable, *devices]}
    root = "/tmp"
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    os.mkdir(f"{root}/tmp")
    for path, fd in held.items():
        source, target = f"/proc/self/fd/{fd}", root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
        if path not in devices:
            kernel.make_read_only(target, with_below=True)
        os.close(fd)
    os.chdir(root)
    kernel.call("pivot_root", b".", b".")
    kernel.unmount_here()
    os.chdir("/")
    kernel.make_read_only("/", with_below=False)


def enter_for_program(file_bytes: int, *, becomes_nobody: bool) -> None:
    """The program's own mounts with an empty /tmp of a size, its own user namespace, and another user where asked.

    Its own user namespace gives it its own count of processes, too (Linux 5.14).
    """
    kernel.unshare(kernel.CLONE_NEWNS)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("tmpfs", "/tmp", "tmpfs", flags, f"size={file_bytes},nr_inodes=1024,mode=1777")
    os.chdir("/tmp")
    if becomes_nobody:
        become_nobody()
    kernel.unshare(kernel.CLONE_NEWUSER)


def become_nobody() -> None:
    """Changes from root to the user and group nobody, without any other group."""
    os.setgroups([])
    os.setresgid(PROGRAM_ID, PROGRAM_ID, PROGRAM_ID)
    os.setresuid(PROGRAM_ID, PROGRAM_ID, PROGRAM_ID)


class Nursery:
    """Forks children into PID namespaces of their own."""

    def __init__(self) -> None:
        self._home = os.pidfd_open(os.getpid())

    def fork(self) -> int:
        """os.fork() into a new PID namespace."""
        kernel.unshare(kernel.CLONE_NEWPID)
        child = os.fork()
        if child:
            kernel.setns(self._home, kernel.CLONE_NEWPID)
        return child

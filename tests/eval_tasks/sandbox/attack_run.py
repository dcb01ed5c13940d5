"""Runs all attacks against one backend and prints what came of each as JSON: a program of its own, for any user.

    python attack_run.py BACKEND [NAME ...]

Beside the attacks it keeps a secret file, a secret variable, open sockets and an inherited open file, and afterwards it
looks for what was left behind.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

FORM = ("variable",)
ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    from attacks import ATTACKS, PRELUDE

    from eval_tasks.sandbox import Limits, Sandbox
    from llemma.core.errors import InputError

    backend, *names = sys.argv[1:]
    os.environ["SANDBOX_TEST_SECRET"] = "secret"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        folder.chmod(0o755)
        secret = folder / "secret"
        victim = folder / "victim"
        for path in (secret, victim):
            path.write_text("secret", encoding="ascii")
        victim.chmod(0o644)
        before = state(victim)
        listener = socket.create_server(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(folder / "socket"))
        unix.listen()
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0llemma-sandbox-{os.getpid()}")
        abstract.listen()
        inherited = os.dup2(os.open(secret, os.O_RDONLY), 57, inheritable=True)
        facts = {
            "secret": secret,
            "folder": folder,
            "pid": os.getpid(),
            "port": listener.getsockname()[1],
            "unix": folder / "socket",
            "abstract": f"llemma-sandbox-{os.getpid()}",
            "fd": inherited,
        }
        try:
            sandbox = Sandbox(backend)
        except InputError as error:
            print(json.dumps({"missing": str(error)}))
            return
        found = {}
        with sandbox:
            for name, attack in ATTACKS.items():
                if names and name not in names:
                    continue
                limits = Limits(**{"memory_bytes": 64 << 20, "wall_s": 20.0, **attack.limits})
                result = sandbox.run(PRELUDE + attack.program.format(**facts), limits=limits, forms=FORM)
                # What the next program meets: asked where one ended otherwise than by its own last line.
                after = result
                if attack.outcomes != ("ok",):
                    after = sandbox.run(
                        "from sympy import sqrt\nanswer = 'held' if len([sqrt(8)]) == 1 else ''", forms=FORM
                    )
                found[name] = {
                    "outcome": result.outcome,
                    "reason": result.reason,
                    "value": result.value,
                    "cpu_s": result.cpu_s,
                    "next": [after.outcome, after.value],
                }
            layers = sandbox.layers
        changed = state(victim) != before
        left = sorted(str(path) for path in folder.iterdir() if path.name not in ("secret", "victim", "socket"))
        left += [str(p) for d in ("/dev/shm", "/var/tmp") for p in Path(d).glob("llemma-sandbox-*")]
        for path in left:
            os.unlink(path)
    report = {"user": os.getuid(), "layers": layers, "found": found, "left": left, "victim changed": changed}
    print(json.dumps({**report, "processes left": children()}))


def state(path: Path) -> tuple[object, ...]:
    """What an attack could change of a file."""
    found = path.stat()
    return path.read_bytes(), found.st_mode, found.st_uid, found.st_nlink, found.st_mtime_ns


def children() -> list[str]:
    """Processes that this one started and that still run."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found.append(Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()

"""One suite of attacks that every backend must withstand, as root and as an ordinary user."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.sandbox import kernel

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from attacks import ATTACKS  # noqa: E402

ORDINARY = 12345  # a user that owns nothing here


def _become_ordinary() -> None:
    """Runs in the child before exec: leaves root's rights; where Python stands in a folder that only root may enter
    (such as /root), that folder is replaced, for this process alone, by one that holds nothing but Python."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    for prefix in {os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix)}:
        closed = next((str(p) for p in reversed(Path(prefix).parents) if not p.stat().st_mode & 0o001), None)
        if closed is not None:
            held = os.open(prefix, os.O_PATH)
            kernel.mount("tmpfs", closed, "tmpfs", 0, "mode=755")
            os.makedirs(prefix)
            kernel.mount(f"/proc/self/fd/{held}", prefix, None, kernel.MS_BIND | kernel.MS_REC)
            os.close(held)
    os.setgroups([])
    os.setresgid(ORDINARY, ORDINARY, ORDINARY)
    os.setresuid(ORDINARY, ORDINARY, ORDINARY)


@functools.cache
def report(backend: str, user: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """What came of all attacks, run once for a backend and a user in a process of their own."""
    is_root = os.getuid() == 0
    if user == "root" and not is_root:
        pytest.skip("the tests do not run as root")
    if backend == "bwrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed (apt install bubblewrap)")
    image = os.environ.get("LLEMMA_SANDBOX_IMAGE", "")
    if backend == "docker" and not image:
        pytest.skip("LLEMMA_SANDBOX_IMAGE names no container image with numpy and sympy")
    try:
        process = subprocess.run(
            [sys.executable, str(HERE / "attack_run.py"), backend, *names],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd="/",
            preexec_fn=_become_ordinary if is_root and user == "ordinary" else None,
        )
    except subprocess.CalledProcessError:
        raise
    except subprocess.SubprocessError:
        pytest.skip("this root may not mount, so it cannot become an ordinary user that sees Python")
    found = json.loads(process.stdout)
    if "missing" in found:
        pytest.skip(f"this machine has no backend {backend}: {found['missing']}")
    return found


@pytest.mark.parametrize("user", ["root", "ordinary"])
@pytest.mark.parametrize("backend", ["namespaces", "landlock", "bwrap", "docker"])
def test_backend_under_every_attack_holds_and_leaves_nothing_behind(backend: str, user: str) -> None:
    found = report(backend, user)
    assert found["found"].keys() == ATTACKS.keys()
    broken = {}
    for name, attack in ATTACKS.items():
        got = found["found"][name]
        is_right = got["outcome"] in attack.outcomes and (got["outcome"] != "ok" or got["value"] == attack.value)
        if not is_right or got["next"] != ["ok", "held"]:
            broken[name] = got
    assert broken == {}
    assert (found["left"], found["processes left"], found["victim changed"]) == ([], [], False)
    assert "seccomp" in found["layers"] and "resource limits" in found["layers"]
    assert (found["user"] == 0) == (user == "root")


def test_attacks_without_protection_break_through() -> None:
    """The suite can fail: what only reads, asks or connects gets through where nothing protects."""
    names = tuple(name for name, attack in ATTACKS.items() if attack.bites)
    found = report("unprotected", "ordinary", names)["found"]
    harmless = [name for name in names if found[name]["outcome"] == "ok" and found[name]["value"] == "held"]
    assert len(names) > 15 and harmless == []


def test_fork_bomb_with_several_processes_allowed_stays_below_their_number() -> None:
    from eval_tasks.sandbox import Limits, Sandbox
    from llemma.core.errors import InputError

    try:
        sandbox = Sandbox("namespaces")
    except InputError as error:
        pytest.skip(str(error))
    program = (
        "import os, time\nn = 0\n"
        "try:\n    while True:\n        if not os.fork():\n            time.sleep(60)\n        n += 1\n"
        "except OSError:\n    answer = n"
    )
    with sandbox:
        result = sandbox.run(program, limits=Limits(processes=6), forms=("variable",))
        killed = sandbox.run(program + "\ntime.sleep(60)", limits=Limits(processes=6, wall_s=0.2))
        after = sandbox.run("print(1)")
    assert (result.outcome, result.value) == ("ok", "5")  # the program itself is the sixth
    assert (killed.outcome, after.output) == ("timeout", "1\n")

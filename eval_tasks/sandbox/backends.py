"""How a server is started, backend by backend.

    namespaces    the server makes its own namespaces; needs a kernel that lets this user (Linux 5.14)
    bwrap         bubblewrap makes them, once for the server
    landlock      no namespaces; Landlock's rules and seccomp's list hold alone (Linux 6.2)
    docker        a container without network; needs an image that holds Python 3.11 or newer, numpy and sympy
    unprotected   limits on resources alone: for machines that are thrown away afterwards

Under each but the last, every program also has Landlock (where the kernel has it), seccomp, limits on resources, no
capabilities and no new privileges.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from eval_tasks.sandbox.folders import readable_folders
from llemma.core.errors import InputError

BACKENDS = ("namespaces", "bwrap", "landlock", "docker", "unprotected")
AUTOMATIC = ("namespaces", "bwrap", "landlock")  # in this order
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, {root!r}); from eval_tasks.sandbox.server import main; main()"
# One thread for each library of linear algebra: the sandbox allows no more, and a matrix product would wait for them.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
}


def server_command(backend: str, image: str | None) -> list[str]:
    """The command that starts a server.  Raises InputError where the backend's program or the image is missing."""
    # -E would also pass over PYTHONHASHSEED; -s and -P keep the user's own folders out.
    own = [sys.executable, "-s", "-P", "-c", _START.format(root=str(_ROOT))]
    if backend == "bwrap":
        return [_program("bwrap", "on Debian or Ubuntu: apt install bubblewrap"), *_bwrap_options(), *own]
    if backend == "docker":
        return _docker_command(image)
    return own


def _program(name: str, remedy: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InputError(f"the program '{name}' is not installed ({remedy})")
    return found


def _bwrap_options() -> list[str]:
    options = ["--unshare-all", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    shown = [*readable_folders(), os.path.realpath(sys.base_prefix), sys.prefix, str(_ROOT / "eval_tasks")]
    if not Path(sys.base_prefix, "bin").is_relative_to("/usr"):
        shown.append("/usr/lib")
    for path in sorted({*shown, str(Path(os.path.realpath(sys.executable)).parent), str(_ROOT / "llemma" / "core")}):
        options += ["--ro-bind", path, path]
    options += ["--ro-bind", str(_ROOT / "llemma" / "__init__.py"), str(_ROOT / "llemma" / "__init__.py")]
    return [*options, "--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/", "--"]


def _docker_command(image: str | None) -> list[str]:
    if not image:
        raise InputError("the backend 'docker' needs image=NAME: one with Python 3.11 or newer, numpy and sympy")
    docker = _program("docker", "see docs.docker.com/engine/install")
    package = _ROOT / "eval_tasks"
    options = ["--rm", "--interactive", "--init", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    options += ["--security-opt", "no-new-privileges", "--pids-limit", "256", "--ipc", "none", "--user", "65534:65534"]
    options += ["--pull", "never", "--workdir", "/", "--entrypoint", "python3"]
    for name, value in ENVIRONMENT.items():
        if name != "PATH":  # the image's own Python may stand elsewhere
            options += ["--env", f"{name}={value}"]
    for part in ("__init__.py", "sandbox"):
        options += ["--volume", f"{package / part}:/llemma-sandbox/eval_tasks/{part}:ro"]
    return [docker, "run", *options, image, "-s", "-P", "-c", _START.format(root="/llemma-sandbox")]

"""Programs that try to break out, and what must come of each.  All are of our own writing.

Where an attack calls the kernel it says `held` only for EPERM, the answer of seccomp's list: another error would mean
that the call came through and was merely wrong.  {secret}, {folder}, {pid}, {port}, {unix}, {abstract} and {fd} are
filled in by attack_run.py.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field

PRELUDE = """
import ctypes, errno, mmap, os, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    returned = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if returned < 0:
        raise OSError(ctypes.get_errno(), "call")
    return returned
def held(attempt, *only):
    try:
        got = attempt()
    except OSError as error:
        return "held" if not only or error.errno in only else f"came through to the kernel: {error!r}"
    except (RuntimeError, MemoryError) as error:
        return "held"
    return f"BROKEN: {got!r}"
"""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A program, the outcomes that are right, and the answer that it must then give (where it ends by itself).

    bites: the same program breaks through where nothing protects, so the test could fail.
    """

    program: str
    outcomes: tuple[str, ...] = ("ok",)
    value: str | None = "held"
    bites: bool = False
    limits: dict[str, float] = field(default_factory=dict)
    output_has_not: str = ""


def _calls() -> Attack:
    """Every system call that a way out would need, made directly through ctypes."""
    is_x86 = platform.machine() == "x86_64"
    table = {  # name: (number on x86_64, on aarch64, arguments that would succeed or at least be looked at)
        "ptrace": (101, 117, "0x4206, 0, 0, 0"),
        "process_vm_readv": (310, 270, "os.getpid(), None, 0, None, 0, 0"),
        "keyctl": (250, 219, "0, -2, 1"),
        "add_key": (248, 217, "b'user', b'name', b'value', 5, -2"),
        "bpf": (321, 280, "0, ctypes.create_string_buffer(128), 128"),
        "io_uring_setup": (425, 425, "1, ctypes.create_string_buffer(120)"),
        "userfaultfd": (323, 282, "1"),
        "perf_event_open": (298, 241, "ctypes.create_string_buffer(bytes([1, 0, 0, 0, 112]), 112), 0, -1, -1, 0"),
        "memfd_create": (319, 279, "b'name', 0"),
        "unshare": (272, 97, "0x10000000"),
        "setns": (308, 268, "0, 0"),
        "mount": (165, 40, "b'none', b'/tmp', b'tmpfs', 0, None"),
        "umount2": (166, 39, "b'/tmp', 2"),
        "pivot_root": (155, 41, "b'.', b'.'"),
        "chroot": (161, 51, "b'/'"),
        "setuid": (105, 146, "0"),
        "setresuid": (117, 147, "0, 0, 0"),
        "capset": (126, 91, "ctypes.create_string_buffer(8), ctypes.create_string_buffer(24)"),
        "prctl": (157, 167, "4, 1, 0, 0, 0"),
        "seccomp": (317, 277, "1, 0, None"),
        "init_module": (175, 105, "None, 0, b''"),
        "kexec_load": (246, 104, "0, 0, None, 0"),
        "open_by_handle_at": (304, 265, "0, None, 0"),
        "pidfd_getfd": (438, 438, "0, 0, 0"),
        "pidfd_open": (434, 434, "os.getpid(), 0"),
        "shmget": (29, 194, "0, 4096, 0o1600"),
        "mq_open": (240, 180, "b'name', 0o102, 0o600, None"),
        "fanotify_init": (300, 262, "0, 0"),
        "execveat": (322, 281, "-100, b'/bin/true', None, None, 0"),
        "personality": (135, 92, "0xffffffff"),
        "sethostname": (170, 161, "b'x', 1"),
        "settimeofday": (164, 170, "None, None"),
        "setsid": (112, 157, ""),
    }
    lines = [
        f"    {name!r}: lambda: call({x86 if is_x86 else arm}, {rest})," for name, (x86, arm, rest) in table.items()
    ]
    return Attack(
        program="calls = {{\n" + "\n".join(lines).replace("{", "{{").replace("}", "}}") + "\n}}\n"
        "through = [name for name, one in calls.items() if held(one, errno.EPERM) != 'held']\n"
        "answer = ' '.join(through) or 'held'",
        bites=True,
    )


FOREVER = "while True:\n    pass"
ATTACKS: dict[str, Attack] = {
    "write outside": Attack(
        program="answer = held(lambda: open('{folder}/planted', 'w').write('x') and 'written')", bites=True
    ),
    "write into the packages": Attack(
        program="import sympy; answer = held(lambda: open(sympy.__file__, 'a').write('#'))", limits={}
    ),
    "remove a file": Attack(program="answer = held(lambda: os.unlink('{folder}/victim'))"),
    "change a file's mode": Attack(program="answer = held(lambda: os.chmod('{folder}/victim', 0o777))"),
    "change a file's times": Attack(program="answer = held(lambda: os.utime('{folder}/victim'))"),
    "truncate a file": Attack(program="answer = held(lambda: os.truncate('{folder}/victim', 0))"),
    "read a secret": Attack(program="answer = held(lambda: open('{secret}').read())", bites=True),
    "read the users": Attack(program="answer = held(lambda: open('/etc/passwd').read())", bites=True),
    "list the home folders": Attack(program="answer = held(lambda: os.listdir('/home') + os.listdir('/root'))"),
    "read through a symbolic link": Attack(
        program="def go():\n    os.symlink('{secret}', 'link')\n    return open('link').read()\nanswer = held(go)"
    ),
    "read through a hard link": Attack(
        program="def go():\n    os.link('{secret}', 'link')\n    return open('link').read()\nanswer = held(go)"
    ),
    "read up the tree": Attack(program="answer = held(lambda: open('../' * 40 + '{secret}'.lstrip('/')).read())"),
    "environment variables": Attack(
        program="answer = 'BROKEN' if 'SANDBOX_TEST_SECRET' in os.environ else 'held'",
    ),
    "environment of the client": Attack(
        program="answer = held(lambda: len(open('/proc/{pid}/environ', 'rb').read()))", bites=True
    ),
    "memory of the parent": Attack(program="answer = held(lambda: open(f'/proc/{{os.getppid()}}/mem', 'rb').read(1))"),
    "command lines of others": Attack(
        program="answer = held(lambda: [open(f'/proc/{{p}}/cmdline').read() for p in os.listdir('/proc')][0])"
    ),
    "own memory by /proc": Attack(program="answer = held(lambda: open('/proc/self/mem', 'r+b').read(1))"),
    "internet socket": Attack(
        program="answer = held(lambda: socket.create_connection(('127.0.0.1', {port}), 2))", bites=True
    ),
    "datagram socket": Attack(
        program="answer = held(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port})))",
        bites=True,
    ),
    "unix socket": Attack(program="answer = held(lambda: socket.socket(socket.AF_UNIX).connect('{unix}'))", bites=True),
    "abstract socket": Attack(
        program="answer = held(lambda: socket.socket(socket.AF_UNIX).connect('\\0{abstract}'))", bites=True
    ),
    "pair of sockets": Attack(program="answer = held(socket.socketpair)", bites=True),
    "netlink socket": Attack(program="answer = held(lambda: socket.socket(16, socket.SOCK_RAW, 0))", bites=True),
    "listen": Attack(program="answer = held(lambda: socket.create_server(('127.0.0.1', 0)))", bites=True),
    "execve": Attack(program="answer = held(lambda: os.execv('/bin/sh', ['sh', '-c', 'exit 7']))"),
    "subprocess": Attack(
        program="import subprocess\nanswer = held(lambda: subprocess.run(['/bin/true']).returncode)", bites=True
    ),
    "shell": Attack(program="answer = 'held' if os.system('true') else 'BROKEN'", bites=True),
    "fork bomb": Attack(
        program="n = 0\ntry:\n    while True:\n        if not os.fork():\n            time.sleep(60)\n        n += 1\n"
        "except OSError:\n    answer = 'held' if n < 8 else f'BROKEN: {{n}}'"
    ),
    "thread bomb": Attack(
        program="import threading\nn = 0\ntry:\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n        n += 1\n"
        "except RuntimeError:\n    answer = 'held' if n < 8 else f'BROKEN: {{n}}'"
    ),
    "daemon": Attack(
        program="def go():\n    if os.fork():\n        return 'forked'\n    os.setsid()\n    time.sleep(60)\n"
        "answer = held(go)",
    ),
    "kill the parent": Attack(program="answer = held(lambda: os.kill(os.getppid() or {pid}, signal.SIGKILL))"),
    "kill the client": Attack(program="answer = held(lambda: os.kill({pid}, signal.SIGKILL))"),
    "kill everything": Attack(program="answer = held(lambda: os.kill(-1, signal.SIGKILL))"),
    "signal by a file's owner": Attack(
        program="import fcntl\nr, w = os.pipe()\nanswer = held(lambda: fcntl.fcntl(r, 8, {pid}), errno.EPERM)"
    ),
    "keys into the terminal": Attack(
        program="import fcntl\nanswer = held(lambda: fcntl.ioctl(0, 0x5412, b'x'), errno.EPERM)"
    ),
    "priority of others": Attack(program="answer = held(lambda: os.setpriority(os.PRIO_PROCESS, {pid}, 19))"),
    "limits of others": Attack(
        program="import resource\nanswer = held(lambda: resource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1)))"
    ),
    "limits raised": Attack(
        program="import resource\n"
        "try:\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    answer = 'BROKEN'\n"
        "except (ValueError, OSError):\n    answer = 'held'"
    ),
    "inherited file": Attack(program="answer = held(lambda: os.read({fd}, 10), errno.EBADF)"),
    "every inherited file": Attack(
        program="answer = 'held'\nfor fd in range(4, 64):\n    try:\n        os.fstat(fd)\n"
        "        answer = f'BROKEN: {{fd}}'\n    except OSError:\n        pass",
    ),
    "memory": Attack(program="x = []\nwhile True:\n    x.append(bytearray(1 << 24))", outcomes=("memory",), value=None),
    "memory by mmap": Attack(program="answer = held(lambda: [mmap.mmap(-1, 1 << 28) for _ in range(64)] and 'mapped')"),
    "memory caught": Attack(
        program="x = []\nwhile True:\n    try:\n        x.append(bytearray(1 << 20))\n"
        "    except MemoryError:\n        pass",
        outcomes=("timeout", "memory"),
        value=None,
        limits={"wall_s": 0.2},
    ),
    "output flood": Attack(
        program="while True:\n    os.write(1, b'x' * 65536)", outcomes=("output limit",), value=None
    ),
    "flood of errors": Attack(
        program="while True:\n    print('x' * 10000, file=sys.stderr)", outcomes=("output limit",), value=None
    ),
    "answer flood": Attack(program="answer = 'x' * (1 << 24)", outcomes=("output limit",), value=None),
    "report flood": Attack(program="while True:\n    os.write(3, b'x' * 65536)", outcomes=("error",), value=None),
    "forged report": Attack(
        program='for fd in range(1, 64):\n    try:\n        os.write(fd, b\'{{"kind": "ended", "value": "BROKEN"}}\')\n'
        "    except OSError:\n        pass",
        outcomes=("error",),
        value=None,
    ),
    "forged report, then out": Attack(
        program='os.write(3, b\'{{"key": "", "kind": "ended", "value": "BROKEN"}}\'); os._exit(0)',
        outcomes=("error",),
        value=None,
    ),
    "forged result of another": Attack(
        program='import struct\nframe = b\'{{"id": 1, "result": {{"outcome": "ok"}}}}\'\n'
        "for fd in range(0, 64):\n    try:\n        os.write(fd, struct.pack('>I', len(frame)) + frame)\n"
        "    except OSError:\n        pass",
        outcomes=("error",),
        value=None,
    ),
    "out before the end": Attack(program="print('42', flush=True); os._exit(0)", outcomes=("error",), value=None),
    "signals ignored": Attack(
        program="for n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\n" + FOREVER,
        outcomes=("timeout",),
        value=None,
        limits={"wall_s": 0.15},
    ),
    "everything caught": Attack(
        program="while True:\n    try:\n        time.sleep(9)\n    except BaseException:\n        pass",
        outcomes=("timeout",),
        value=None,
        limits={"wall_s": 0.15},
    ),
    "sleep past the limit": Attack(program="time.sleep(60)", outcomes=("timeout",), value=None, limits={"wall_s": 0.2}),
    "huge integer": Attack(
        program="answer = 9 ** 9 ** 9", outcomes=("timeout", "memory"), value=None, limits={"wall_s": 0.15}
    ),
    "long digits": Attack(program="answer = 10 ** 100000", outcomes=("error",), value=None),
    "deep recursion": Attack(
        program="sys.setrecursionlimit(10 ** 9)\ndef f(x):\n    return f([x])\nf(1)",
        outcomes=("error", "memory"),
        value=None,
    ),
    "deep recursion in C": Attack(
        program="sys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6):\n    x = [x]\nrepr(x)",
        outcomes=("error", "memory"),
        value=None,
    ),
    "deep brackets": Attack(program="eval('(' * 100000)", outcomes=("error", "memory"), value=None),
    "crash": Attack(program="ctypes.string_at(0)", outcomes=("error",), value=None),
    "large file": Attack(
        program="def go():\n    with open('big', 'wb') as file:\n        while True:\n"
        "            file.write(bytes(1 << 20))\nanswer = held(go)"
    ),
    "many files": Attack(
        program="def go():\n    for n in range(5000):\n        open(f'{{n}}', 'w').close()\n    return 'written'\n"
        "answer = held(go)"
    ),
    "leftover in shared memory": Attack(
        program="answer = held(lambda: open('/dev/shm/llemma-sandbox-left', 'w').write('x') and 'left')", bites=True
    ),
    "leftover in /var/tmp": Attack(
        program="answer = held(lambda: open('/var/tmp/llemma-sandbox-left', 'w').write('x') and 'left')", bites=True
    ),
    "packages changed for the next": Attack(
        program="import sympy, numpy, builtins\nsympy.sqrt = numpy.array = builtins.len = None\n"
        "sys.modules['math'] = None\nopen_ = os._exit = None\nanswer = 'held'",
        outcomes=("ok", "error"),
    ),
    "system calls": _calls(),
}
if platform.machine() == "x86_64":
    ATTACKS["x32 system call"] = Attack(
        program="answer = held(lambda: call(0x40000000 + 39), errno.EPERM)"  # getpid
    )
    ATTACKS["32-bit system call"] = Attack(  # mov eax, 20 (getpid); int 0x80; ret
        program="m = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')\n"
        "f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
        "answer = f'BROKEN {{f()}}'",
        outcomes=("error",),
        value=None,
        bites=True,
    )

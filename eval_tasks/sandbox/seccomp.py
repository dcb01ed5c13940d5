"""Seccomp: a list of the system calls that a program may make; every other one fails with EPERM.

Not on the list, among others: execve, ptrace, process_vm_*, socket and all of its kin, mount, unshare, setns, chroot,
setuid and kin, chmod, chown, utimes, keyctl, bpf, io_uring, userfaultfd, perf_event_open, memfd_create, shmget,
mq_open, flock, truncate, prctl, setsid, kernel modules, the clock.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from eval_tasks.sandbox import kernel, syscalls

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, JEQ, JGE, JSET, RET (K)
_KILL, _ALLOW, _FAIL = 0x80000000, 0x7FFF0000, 0x00050000
_SET_MODE_FILTER = 1
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # of struct seccomp_data
_X32 = 0x40000000
_OURS = frozenset(  # in the table for our own use
    ["capset", "pivot_root", "mount_setattr", "seccomp"]
    + [f"landlock_{what}" for what in ("create_ruleset", "add_rule", "restrict_self")]
)
_NEVER_WITH_CLONE = 0x7E020000 | 0x00008000 | 0x00002000  # any new namespace, CLONE_PARENT, CLONE_PTRACE
# F_SETOWN and F_SETSIG would send signals to others, F_SETLEASE and F_NOTIFY are of no use here.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032)
_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIO(N)CLEX
_PROCESSES = ("clone", "fork", "vfork")


def install(*, own_pid: int, may_fork: bool) -> None:
    """Puts this process, and what it starts, under the list for good.  Needs NO_NEW_PRIVS.

    Signals go to own_pid alone unless may_fork, which is for a process that has a PID namespace of its own.
    """
    code = _program(own_pid=own_pid, may_fork=may_fork)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(buffer))
    kernel.call("seccomp", _SET_MODE_FILTER, 0, ctypes.byref(program))


def _program(*, own_pid: int, may_fork: bool) -> bytes:
    table = {name: number for name, number in syscalls.numbers().items() if name not in _OURS}
    code = [
        _line(_LOAD, _ARCH_AT),
        _line(_EQUAL, syscalls.audit_arch(), 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
        _line(_AT_LEAST, _X32, 0, 1),
        _line(_RETURN, _FAIL | errno.EPERM),
    ]
    code += _when(table.pop("clone3"), [_line(_RETURN, _FAIL | errno.ENOSYS)])  # glibc then takes clone
    one_of = {"fcntl": (1, _FCNTL_COMMANDS), "ioctl": (1, _IOCTL_COMMANDS), "prlimit64": (0, (0, own_pid))}
    if not may_fork:
        one_of |= {"kill": (0, (own_pid,)), "tgkill": (0, (own_pid,)), "tkill": (0, (own_pid,))}
    for name, (argument, values) in one_of.items():
        checks = [_line(_LOAD, _ARGUMENTS_AT + 8 * argument)]
        for value in values:
            checks += [_line(_EQUAL, value, 0, 1), _line(_RETURN, _ALLOW)]
        code += _when(table.pop(name), [*checks, _line(_RETURN, _FAIL | errno.EPERM)])
    if may_fork:
        checks = [_line(_LOAD, _ARGUMENTS_AT), _line(_ANY_BIT, _NEVER_WITH_CLONE, 0, 1)]
        checks += [_line(_RETURN, _FAIL | errno.EPERM), _line(_RETURN, _ALLOW)]
        code += _when(table.pop("clone"), checks)
    for name, number in table.items():
        if may_fork or name not in _PROCESSES:
            code += _when(number, [_line(_RETURN, _ALLOW)])
    code.append(_line(_RETURN, _FAIL | errno.EPERM))
    return b"".join(code)


def _when(number: int, then: list[bytes]) -> list[bytes]:
    return [_line(_EQUAL, number, 0, len(then)), *then]


def _line(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)

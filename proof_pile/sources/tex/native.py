"""The decorator of this package's compiled functions."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.extending import intrinsic

from llemma.core.text.native import native as core_native

WIDTH = 16  # bytes that are looked at together: a register of every processor that Numba knows

_FILES = ("native", "names", "surface", "groups", "definitions", "calls", "machine")


@cache
def _stamp() -> str:
    """A hash of all code that is compiled, and of what it takes its numbers from."""
    digest = hashlib.blake2b(digest_size=16)
    for name in _FILES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def native(function: Any) -> Any:
    """The function compiled by Numba and kept on the disk for as long as none of these files changes.

    Numba asks only the file that a function stands in, yet its code holds the numbers of `names` and the functions of
    other files as they were when it was compiled: after a change in one of those it ran with the old ones.
    """
    compiled = core_native(function)
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = _stamp()
    return compiled


def _plain_bits(builder: Any, array: Any, place: Any, special: bytes, below: int) -> tuple[Any, Any]:
    """The WIDTH bytes of an array from a place on, and the number of them that stand before the first special one."""
    from llvmlite import ir

    vector = ir.VectorType(ir.IntType(8), WIDTH)
    pointer = builder.bitcast(builder.gep(array, [place]), vector.as_pointer())
    loaded = builder.load(pointer)
    loaded.align = 1
    is_special = builder.icmp_unsigned("<", loaded, ir.Constant(vector, [below] * WIDTH))
    for byte in special:
        is_special = builder.or_(is_special, builder.icmp_unsigned("==", loaded, ir.Constant(vector, [byte] * WIDTH)))
    bits = builder.zext(builder.bitcast(is_special, ir.IntType(WIDTH)), ir.IntType(64))
    bits = builder.or_(bits, ir.Constant(ir.IntType(64), 1 << WIDTH))
    return loaded, builder.cttz(bits, ir.Constant(ir.IntType(1), 0))


def plain_width(special: bytes, *, below: int = 0) -> Any:
    """A native function (array, place): how many of the WIDTH bytes from there on stand before the first special one.

    Special are the bytes of `special` and all below `below`.  The array must hold WIDTH bytes from the place on.
    """

    @intrinsic
    def width(context, array, place):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return _plain_bits(builder, data, arguments[1], special, below)[1]

        return numba.types.int64(array, numba.types.int64), code

    return width


def plain_copy(special: bytes, *, below: int = 0) -> Any:
    """A native function (array, place, other array, place there): as `plain_width`, and copies all WIDTH bytes.

    What it writes behind the plain ones means nothing: the caller goes on writing there.
    """

    @intrinsic
    def copy(context, array, place, out, out_place):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            target = context.make_array(signature.args[2])(context, builder, arguments[2]).data
            loaded, width = _plain_bits(builder, data, arguments[1], special, below)
            pointer = builder.bitcast(builder.gep(target, [arguments[3]]), loaded.type.as_pointer())
            builder.store(loaded, pointer).align = 1
            return width

        return numba.types.int64(array, numba.types.int64, out, numba.types.int64), code

    return copy

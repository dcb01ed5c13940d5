"""Writing Megatron's .bin/.idx pairs; the layout stands in layout.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from llemma.core.errors import InputError
from llemma.core.files import atomic_path, sync_folder
from llemma.core.indexed.layout import MAGIC, VERSION, bin_path, code_of, idx_path
from llemma.core.indexed.reader import IndexedReader

_COPY_BYTES = 8 << 20
_INT32_MAX = 2**31 - 1


class IndexedWriter:
    """Writes `prefix.bin` and `prefix.idx`, both whole or neither; use it as a context manager.

    The pair appears when the block ends without an error, the .idx last: a reader that finds an .idx finds the
    .bin that belongs to it. After an error nothing is left behind, and an older pair of that name is untouched.
    """

    def __init__(self, prefix: str | Path, dtype: npt.DTypeLike) -> None:
        self.prefix = Path(prefix)
        self.dtype = np.dtype(dtype)
        self._code = code_of(self.dtype)
        limits = np.iinfo(self.dtype)
        self._lowest, self._highest = int(limits.min), int(limits.max)
        self._sizes = array("i")
        self._boundaries = array("q", [0])
        self._num_tokens = 0
        self._stack = contextlib.ExitStack()
        self._bin: IO[bytes] | None = None
        self._idx_temporary: Path | None = None

    @property
    def num_documents(self) -> int:
        """Documents added so far."""
        return len(self._boundaries) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens added so far."""
        return self._num_tokens

    def __enter__(self) -> IndexedWriter:
        with contextlib.ExitStack() as stack:
            # Left in reverse order: the .bin gets its name first, the .idx last.
            self._idx_temporary = stack.enter_context(atomic_path(idx_path(self.prefix)))
            temporary = stack.enter_context(atomic_path(bin_path(self.prefix)))
            self._bin = stack.enter_context(open(temporary, "wb", buffering=1 << 20))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with self._stack:
                    self._finish()
            else:
                self._stack.__exit__(kind, error, trace)
        finally:
            self._bin = None

    def add_document(self, tokens: npt.ArrayLike) -> None:
        """Adds one document as one sequence; its end-of-document token, if it has one, is already there.

        Raises ValueError if the tokens are not a row of integers that fit the type of the file.
        """
        array_of_tokens = np.asarray(tokens)
        if array_of_tokens.size == 0 and array_of_tokens.ndim == 1:
            array_of_tokens = array_of_tokens.astype(self.dtype)
        self._append(array_of_tokens)
        self._sizes.append(array_of_tokens.size)
        self._boundaries.append(len(self._sizes))

    def add_documents(self, tokens: np.ndarray, lengths: Sequence[int] | np.ndarray) -> None:
        """Adds many documents at once: their tokens in one row, and the length of each.

        Raises ValueError if the lengths do not add up to the tokens, or as `add_document` does.
        """
        sizes = np.asarray(lengths, dtype=np.int64)
        if sizes.ndim != 1 or (sizes < 0).any() or int(sizes.sum()) != tokens.size:
            raise ValueError(f"the lengths add up to {int(sizes.sum())}, but there are {tokens.size} tokens")
        self._append(tokens)
        first = len(self._sizes)
        self._sizes.frombytes(sizes.astype(np.intc).tobytes())
        self._boundaries.frombytes(np.arange(first + 1, first + sizes.size + 1, dtype=np.int64).tobytes())

    def add_shard(self, prefix: str | Path) -> None:
        """Appends another pair wholesale, its documents kept.

        Raises InputError if it holds another type of token, DamagedFileError if it is damaged.
        """
        shard = IndexedReader(prefix)
        if shard.dtype != self.dtype:
            raise InputError(
                f"{idx_path(prefix)}: holds tokens of type {shard.dtype}, but {idx_path(self.prefix)} is written "
                f"as {self.dtype}: tokenize both with the same tokenizer and type"
            )
        file = self._open_file()
        with open(bin_path(prefix), "rb") as source:
            shutil.copyfileobj(source, file, _COPY_BYTES)
        first = len(self._sizes)
        self._sizes.frombytes(shard.sizes.astype(np.intc).tobytes())
        self._boundaries.frombytes((shard.document_index[1:] + first).astype(np.int64).tobytes())
        self._num_tokens += shard.num_tokens

    def _open_file(self) -> IO[bytes]:
        if self._bin is None:
            raise ValueError(f"the writer of {self.prefix} is not open: use it in a with statement")
        return self._bin

    def _append(self, tokens: np.ndarray) -> None:
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise ValueError(f"tokens must be a row of integers, not {tokens.dtype} of shape {tokens.shape}")
        if tokens.size > _INT32_MAX:
            raise ValueError(f"{tokens.size} tokens at once; the index counts up to {_INT32_MAX}")
        if tokens.size and tokens.dtype != self.dtype:
            lowest, highest = int(tokens.min()), int(tokens.max())
            if lowest < self._lowest or highest > self._highest:
                raise ValueError(f"token ids from {lowest} to {highest} do not fit {self.dtype}")
        self._open_file().write(np.ascontiguousarray(tokens, dtype=self.dtype).data)
        self._num_tokens += tokens.size

    def _finish(self) -> None:
        """Completes both temporary files; the renaming is left to the stack."""
        file = self._open_file()
        sizes = np.frombuffer(self._sizes, dtype=np.intc)
        assert self._idx_temporary is not None
        with open(self._idx_temporary, "wb") as index:
            index.write(MAGIC + struct.pack("<QB", VERSION, self._code))
            index.write(struct.pack("<QQ", len(self._sizes), len(self._boundaries)))
            index.write(sizes.astype("<i4").tobytes())
            offsets = np.zeros(len(sizes), dtype="<i8")
            np.cumsum(sizes[:-1], dtype=np.int64, out=offsets[1:])
            offsets *= self.dtype.itemsize
            index.write(offsets.tobytes())
            index.write(np.frombuffer(self._boundaries, dtype=np.int64).astype("<i8").tobytes())
            index.flush()
            os.fsync(index.fileno())
        file.flush()
        os.fsync(file.fileno())
        # Both are safe on the disk. An old .idx must never stand beside the new .bin, so it goes first.
        if idx_path(self.prefix).exists():
            idx_path(self.prefix).unlink()
            sync_folder(self.prefix.parent)

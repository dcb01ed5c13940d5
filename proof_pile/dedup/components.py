"""Connected components of pairs that come in any number of batches: union-find over an array on the disk.

The array takes 8 bytes a document in a file with holes: blocks of it that no pair touches take neither disk nor memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llemma.core.text.native import native


@native
def _find(parent, node):  # type: ignore[no-untyped-def]
    """The root of a node; halves the way to it.  A free place (0) is a root; others hold their parent plus 1."""
    while parent[node] != 0:
        above = parent[node] - 1
        if parent[above] == 0:
            return above
        parent[node] = parent[above]
        node = parent[above] - 1
    return node


@native
def _join(parent, first, second):  # type: ignore[no-untyped-def]
    for index in range(len(first)):
        a = _find(parent, first[index])
        b = _find(parent, second[index])
        # The smaller number is the root, in whatever order pairs come: the result depends on no order.
        if a < b:
            parent[b] = a + 1
        elif b < a:
            parent[a] = b + 1


@native
def _roots(parent, nodes, roots):  # type: ignore[no-untyped-def]
    for index in range(len(nodes)):
        roots[index] = _find(parent, nodes[index])


class Components:
    """Nodes 0..size-1, each of which knows the smallest node that it is connected to."""

    def __init__(self, size: int, path: Path | None = None) -> None:
        self._parent: np.ndarray
        if path is None or not size:
            self._parent = np.zeros(size, np.int64)
        else:
            self._parent = np.memmap(path, np.int64, "w+", shape=(size,))

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Connects first[i] with second[i]."""
        _join(self._parent, first.astype(np.int64), second.astype(np.int64))

    def roots(self, nodes: np.ndarray) -> np.ndarray:
        """The smallest node of each node's component."""
        roots = np.empty(len(nodes), np.int64)
        _roots(self._parent, nodes.astype(np.int64), roots)
        return roots

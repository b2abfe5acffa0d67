"""Nodes that were read lately, decoded or as they are stored, for the whole process, bounded by their memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_pachy.pfs.tree.node import Node

DEFAULT_BYTES = 256 << 20


class NodeCache:
    """Least recently used nodes go first. Thread-safe. Nodes are immutable and their keys never reused."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._nodes: OrderedDict[tuple[str, str], Node | bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, url: str, key: str) -> Node | None:
        """The node, if it is here and decoded."""
        found = self._find(url, key)
        return None if isinstance(found, bytes) else found

    def body(self, url: str, key: str) -> bytes | None:
        """The node as it is stored, if it is here like that."""
        found = self._find(url, key)
        return found if isinstance(found, bytes) else None

    def put(self, url: str, key: str, node: Node | bytes) -> None:
        """Keep the node, and let go of others if it gets too much. A decoded one takes the place of a stored one."""
        with self._lock:
            before = self._nodes.get((url, key))
            if before is not None:
                if isinstance(node, bytes) or not isinstance(before, bytes):
                    return
                self._bytes -= len(before)
            self._nodes[url, key] = node
            self._bytes += _size(node)
            while self._bytes > self._max_bytes and len(self._nodes) > 1:
                self._bytes -= _size(self._nodes.popitem(last=False)[1])

    def clear(self) -> None:
        """Forget everything (for tests and measurements)."""
        with self._lock:
            self._nodes.clear()
            self._bytes = 0

    def _find(self, url: str, key: str) -> Node | bytes | None:
        with self._lock:
            node = self._nodes.get((url, key))
            if node is not None:
                self._nodes.move_to_end((url, key))
            return node


def _size(node: Node | bytes) -> int:
    return len(node) if isinstance(node, bytes) else node.size_bytes


shared = NodeCache()

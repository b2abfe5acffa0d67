"""Decoded nodes that were read lately, for the whole process, bounded by their size in memory."""

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
        self._nodes: OrderedDict[tuple[str, str], Node] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, url: str, key: str) -> Node | None:
        """The node, if it is here."""
        with self._lock:
            node = self._nodes.get((url, key))
            if node is not None:
                self._nodes.move_to_end((url, key))
            return node

    def put(self, url: str, key: str, node: Node) -> None:
        """Keep the node, and let go of others if it gets too much."""
        with self._lock:
            if (url, key) in self._nodes:
                return
            self._nodes[url, key] = node
            self._bytes += node.size_bytes
            while self._bytes > self._max_bytes and len(self._nodes) > 1:
                self._bytes -= self._nodes.popitem(last=False)[1].size_bytes

    def clear(self) -> None:
        """Forget everything (for tests and measurements)."""
        with self._lock:
            self._nodes.clear()
            self._bytes = 0


shared = NodeCache()

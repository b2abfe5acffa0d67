"""A store in whose requests something else happens: other writers, a garbage collection, days that pass.

All in one thread, so that a test which found an unlucky order can be repeated and shrunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pfs.objects.store import ObjectStore

_REQUESTS = frozenset({"get", "put", "head", "list_keys", "delete"})


class InterruptedStore:
    """Passes requests on, and calls `coming[n]` before the n-th since `calls` was set to 0.

    What that does is not interrupted itself.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.coming: dict[int, Callable[[], object]] = {}
        self.calls = 0
        self._busy = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in _REQUESTS:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            # Copies of records are put inside an SQL transaction: on SQLite, others would wait for it for ever in
            # the same thread.
            if not (name == "put" and args[0].startswith("refs/")):
                self._interrupt()
            return method(*args, **kwargs)

        return call

    def _interrupt(self) -> None:
        if self._busy:
            return
        happens = self.coming.pop(self.calls, None)
        self.calls += 1
        if happens is not None:
            self._busy = True
            try:
                happens()
            finally:
                self._busy = False

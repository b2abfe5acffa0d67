"""Names that load on first use.

A DAG file is parsed again and again, and pays for whatever its imports pull in; the helper image has no
SQLAlchemy at all. So the `__init__` of a public package says where its names live, and imports none of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of `package`, whose public names live in its modules as `homes` says."""

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        # Kept, so that the next use does not come here.
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(homes)


class LazyModule(ModuleType):
    """Stands for a module that is imported when something of it is used; pass its full name.

    To be assigned where type checkers do not look, beside the import that they see.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)

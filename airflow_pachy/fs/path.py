"""`UPath("pfs://repo/branch/path")`: known to universal_pathlib, which warns of schemes that it does not know."""

from __future__ import annotations

from upath import UPath


class PfsPath(UPath):
    """A path of the scheme `pfs`; all behaviour is that of the file system."""

"""DVC both ways: putting a path of a DVC project, and giving a DVC project a path of a commit.

DVC itself reads and writes its formats and reaches its remotes; it is imported when first needed, and not required.
"""

from __future__ import annotations

import logging


def hush() -> None:
    """Keep DVC's remarks off standard output; to be called once it is imported, which sets up its logging."""
    logging.getLogger("dvc").setLevel(logging.WARNING)

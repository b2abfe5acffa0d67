"""The init container's work: lay out the shared volume so that any user's image can run the shim from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from airflow_pachy.worker.disk import CONTROL

BUSYBOX = Path("/bin/busybox")
"""Where the helper image has its statically linked busybox."""


def place(pfs: Path, busybox: Path = BUSYBOX) -> None:
    """Make `<pfs>/.pfs` with busybox and the shim, for whatever uid the user's container has.

    May run twice: an init container is restarted with its pod.
    """
    control = pfs / CONTROL
    control.mkdir(exist_ok=True)
    control.chmod(0o777)
    # The helper's alone, and its uid is ours: user code has no business with datums that are not its turn.
    (control / "stage").mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(busybox, control / "busybox")
    (control / "busybox").chmod(0o755)
    shutil.copyfile(Path(__file__).with_name("shim.sh"), control / "shim.sh")
    (control / "shim.sh").chmod(0o644)
    tick = control / "tick"
    tick.unlink(missing_ok=True)
    os.mkfifo(tick)
    tick.chmod(0o666)

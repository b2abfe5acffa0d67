"""The init container's work: lay out the shared volume so that any user's image can run the shim from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from airflow_pachy.worker.disk import CONTROL

BUSYBOX = Path("/bin/busybox")
"""Where the helper image has its statically linked busybox."""


def place(pfs: Path, busybox: Path = BUSYBOX, stdin: str | None = None) -> None:
    """Make `<pfs>/.pfs` with busybox and the shim, for whatever uid the user's container has.

    `stdin` becomes the file that a spout's command reads. May run twice: an init container is restarted with its pod.
    """
    control = pfs / CONTROL
    control.mkdir(exist_ok=True)
    control.chmod(0o777)
    # The helper's alone, and its uid is ours: user code has no business with datums that are not its turn.
    (control / "stage").mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(busybox, control / "busybox")
    (control / "busybox").chmod(0o755)
    for script in ("shim.sh", "spout.sh"):
        shutil.copyfile(Path(__file__).with_name(script), control / script)
        (control / script).chmod(0o644)
    (control / "bin").mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("pachctl.sh"), control / "bin" / "pachctl")
    (control / "bin" / "pachctl").chmod(0o755)
    for left in control.glob("spout.??*"):  # what an earlier start of the pod has said
        if left.suffix != ".sh":
            left.unlink()
    if stdin is not None:
        (control / "stdin").write_text(stdin)
    tick = control / "tick"
    tick.unlink(missing_ok=True)
    os.mkfifo(tick)
    tick.chmod(0o666)

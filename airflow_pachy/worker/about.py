"""`python -m airflow_pachy.worker.about`: what the helper image is: its size, how fast the worker starts.

Run when the image is built, so that every build says it and fails when the worker cannot start in it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from importlib.metadata import version

LIBRARIES = ("blake3", "botocore", "numpy", "pyarrow", "xxhash")
STARTED = (
    "import airflow_pachy.worker.__main__, airflow_pachy.worker.run, pyarrow.parquet;"
    "from airflow_pachy.pfs.objects import open_store;"
    "open_store('s3://bucket', s3={'region_name': 'eu-west-1'})"
)


def about() -> dict[str, object]:
    """Size of the file system in MiB, seconds until the worker could read its plan, versions."""
    _start()  # the files come from the disk only once
    wall, cpu = _start()
    return {
        "size_mib": size_bytes("/") >> 20,
        "start_seconds": round(wall, 2),
        "start_cpu_seconds": round(cpu, 2),
        "python": sys.version.split()[0],
        **{name: version(name) for name in LIBRARIES},
    }


def size_bytes(root: str) -> int:
    """What the files of one file system take; those that we must not see are left out."""
    device = os.lstat(root).st_dev
    total, seen = 0, set()
    folders = [root]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_dev != device or status.st_ino in seen:
                continue
            seen.add(status.st_ino)
            total += status.st_size
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
    return total


def _start() -> tuple[float, float]:
    """Seconds, and seconds of processor time, that a process needs to import what the worker needs."""
    before, started = _cpu_of_children(), time.monotonic()
    subprocess.run([sys.executable, "-c", STARTED], check=True)
    return time.monotonic() - started, _cpu_of_children() - before


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.stdout.write(f"helper image: {json.dumps(about())}\n")

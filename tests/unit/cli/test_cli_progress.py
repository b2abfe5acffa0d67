"""The bar of a transfer, seen through a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shown(*arguments: str) -> str:
    """What a terminal gets of the command's standard error."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "airflow_pachy.cli", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 1 << 16):
            seen += data
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(ours)
        process.communicate()
    assert process.returncode == 0, seen.decode()
    return seen.decode()


def test_a_directory_has_a_bar_that_reaches_its_total(pachy, images: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below" / "large").write_bytes(os.urandom(6 << 20))
    (source / "small").write_bytes(os.urandom(2 << 20))
    bar = shown("put", "file", "images@master:/new", "-r", "-f", str(source))
    assert "8.0/8.0 MiB" in bar
    assert "2 files" in bar
    assert "8.0/8.0 MiB" in shown("get", "file", "images@master:/new", "-r", "-o", str(tmp_path / "copy"))

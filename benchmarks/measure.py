"""Run one operation in a process of its own and measure that process: wall clock, peak memory, requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.reporting import REPORT, report

if TYPE_CHECKING:
    import resource
    from collections.abc import Mapping, Sequence


__all__ = ["ROOT", "Measurement", "OperationFailed", "report", "run_command", "run_module", "use_bytecode"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One operation of one system. `seconds` is the whole process with its start-up and imports.

    `cpu_seconds` is what it used of the processors, which other load on the machine changes less.
    `inside_seconds` is without imports; `requests`, `sent_bytes` and `received_bytes` are what passed between it and
    the object store. They are None for programs that do not tell. `run` numbers the rounds, in each of which every
    system has its turn.
    """

    system: str
    operation: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    inside_seconds: float | None = None
    requests: float | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None
    run: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)


class OperationFailed(RuntimeError):
    """A measured process ended with an error; the message has the end of its output."""


def use_bytecode(folder: Path) -> None:
    """Have every Python process started from here keep its bytecode in `folder`.

    pip makes bytecode when it installs; an environment without it would charge compilation to the first who comes.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def run_command(
    system: str, operation: str, commands: Sequence[Sequence[str]], *, cwd: Path, env: Mapping[str, str] | None = None
) -> Measurement:
    """Run commands one after the other; seconds add up, the peak is the highest of them."""
    seconds, cpu_seconds, peak_bytes = 0.0, 0.0, 0
    report: dict[str, Any] = {}
    for command in commands:
        started = time.perf_counter()
        output, code, usage = _run(command, cwd, {**os.environ, **(env or {})})
        seconds += time.perf_counter() - started
        cpu_seconds += usage.ru_utime + usage.ru_stime
        peak_bytes = max(peak_bytes, usage.ru_maxrss * 1024)
        if code != 0:
            raise OperationFailed(f"{system} {operation}: `{' '.join(command)}` ended with {code}:\n{output[-2000:]}")
        for line in output.splitlines():
            if line.startswith(REPORT):
                report = json.loads(line[len(REPORT) :])
    measured = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory_bytes": peak_bytes, **report}
    return Measurement(system, operation, **measured)


def run_module(system: str, operation: str, module: str, arguments: Mapping[str, Any]) -> Measurement:
    """Run `python -m module operation`, with its arguments as JSON on the command line."""
    command = [sys.executable, "-m", module, operation, json.dumps(arguments)]
    return run_command(system, operation, [command], cwd=ROOT)


def _run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[str, int, resource.struct_rusage]:
    """Output, exit code and used resources of one process."""
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        # wait4 tells the resources of exactly this child; getrusage(RUSAGE_CHILDREN) would give the largest so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return output, process.returncode, usage

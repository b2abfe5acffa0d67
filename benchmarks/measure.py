"""Run one operation in a process of its own and measure that process: wall clock, peak memory, requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import resource
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_REPORT = "BENCHMARK-REPORT "


@dataclass(frozen=True, slots=True)
class Measurement:
    """One operation of one system. `seconds` is the whole process with its start-up and imports.

    `cpu_seconds` is what it used of the processors, which other load on the machine changes little.
    `inside_seconds` is the operation alone, `requests` counts calls to the object store; both are None for
    programs that do not tell.
    """

    system: str
    operation: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    inside_seconds: float | None = None
    requests: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class OperationFailed(RuntimeError):
    """A measured process ended with an error; the message has the end of its output."""


def run_command(
    system: str, operation: str, commands: Sequence[Sequence[str]], *, cwd: Path, env: Mapping[str, str] | None = None
) -> Measurement:
    """Run commands one after the other; seconds add up, the peak is the highest of them."""
    seconds, cpu_seconds, peak_bytes = 0.0, 0.0, 0
    reports: list[dict[str, Any]] = []
    for command in commands:
        started = time.perf_counter()
        output, code, usage = _run(command, cwd, {**os.environ, **(env or {})})
        seconds += time.perf_counter() - started
        cpu_seconds += usage.ru_utime + usage.ru_stime
        peak_bytes = max(peak_bytes, usage.ru_maxrss * 1024)
        if code != 0:
            raise OperationFailed(f"{system} {operation}: `{' '.join(command)}` ended with {code}:\n{output[-2000:]}")
        reports += [json.loads(line[len(_REPORT) :]) for line in output.splitlines() if line.startswith(_REPORT)]
    report = reports[-1] if reports else {}
    return Measurement(
        system,
        operation,
        seconds,
        cpu_seconds,
        peak_bytes,
        inside_seconds=report.get("seconds"),
        requests=report.get("requests"),
        notes=report.get("notes", {}),
    )


def run_module(system: str, operation: str, module: str, arguments: Mapping[str, Any], *, cwd: Path) -> Measurement:
    """Run `python -m module operation`, with its arguments as JSON on the command line."""
    command = [sys.executable, "-m", module, operation, json.dumps(arguments)]
    return run_command(system, operation, [command], cwd=cwd)


def report(seconds: float, requests: int | None = None, **notes: Any) -> None:
    """Called in the measured process: hand the inner measurements to the parent."""
    print(_REPORT + json.dumps({"seconds": seconds, "requests": requests, "notes": notes}), flush=True)


def _run(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[str, int, resource.struct_rusage]:
    """Output, exit code and used resources of one process."""
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        # wait4 tells the resources of exactly this child; getrusage(RUSAGE_CHILDREN) would give the largest so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return output, process.returncode, usage

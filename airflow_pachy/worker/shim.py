"""The runner inside a pod: talks to `shim.sh` in the user's container through files on the shared volume.

No ports, no exec, no shared process namespace, so that it works in any image under any security
policy. Every file of ours appears by a rename. What the shim writes is believed only as far as the
user's code may be believed: it decides about its own datums and nothing else.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from typing import TYPE_CHECKING, Self

from airflow_pachy.worker.control import ControlDirectory
from airflow_pachy.worker.disk import CONTROL
from airflow_pachy.worker.output import decode_tail
from airflow_pachy.worker.runner import LOG_TAIL_BYTES, Command, Exit, RunnerGone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

BEAT_SECONDS = 2.0
END_BYTES = 256
"""More than any answer of the shim has."""
STALE_BEATS = 15
"""Beats without a sign of the shim before it is presumed dead: 30 seconds."""
STALE_BEATS_AT_THE_END = 3
"""The same once the pod is told to stop: Kubernetes gives it half a minute in all."""


class ShimRunner:
    """Runs commands in the container whose shim watches `<pfs>/.pfs`; a context manager.

    `start_seconds` is how long the user's container may take to start, image pull included, counted from
    the first command. Only one command runs at a time.
    """

    def __init__(
        self,
        pfs: Path,
        *,
        kill_grace_seconds: int = 10,
        start_seconds: float = 3600.0,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self.pfs = pfs
        self.pfs_path = str(pfs)
        self._control = ControlDirectory(pfs / CONTROL)
        self.stage_root = self._control.open_stage()
        self._own = str(pfs / CONTROL)
        self._kill_grace_seconds = kill_grace_seconds
        self.succeeds_another = self._control.exists(_Pulse.OURS)
        self._pulse = _Pulse(self._control, beat_seconds, start_seconds)
        self._stopping = threading.Event()
        self._turn = 0

    @property
    def slots(self) -> Sequence[Self]:
        """One: the container."""
        return (self,)

    def __enter__(self) -> Self:
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pulse.end()

    def run(self, command: Command) -> Exit:
        """Execute the command; see `Slot.run`. Raises `RunnerGone` when the user's container has died."""
        if self._stopping.is_set() or self._pulse.gone:
            # The datum whose turn it was when the container died is to blame, not those that waited.
            return Exit(128 + signal.SIGTERM, 0.0, stopped=True)
        self._turn += 1
        self._control.write(f"env.{self._turn}", self._environment_text(command))
        for pipe in ("output", "tail"):
            self._control.make_pipe(f"{pipe}.{self._turn}")
        started = time.monotonic()
        self._control.write(f"go.{self._turn}", "")
        self._control.poke("tick")  # spares the shim the rest of its pause
        timed_out = False
        pauses = _pauses()
        while not (words := self._read_end()):
            self._pulse.check(command.datum)
            seconds = time.monotonic() - started
            if not timed_out and command.timeout_seconds is not None and seconds >= command.timeout_seconds:
                timed_out = True
                self._control.write(f"timeout.{self._turn}", "")
            time.sleep(next(pauses))
        if words[3:] == [b"terminated"]:
            # The whole pod is told to end, and the shim heard of it before us: the datum is not to blame.
            self._stopping.set()
        # The user's code could have written this; whatever is not a number is a failure.
        code = int(words[0]) if words[0].isdigit() else 255
        end = Exit(code, time.monotonic() - started, timed_out, self._stopping.is_set(), self._read_log())
        self._clear_turn()
        return end

    def stop(self) -> None:
        """End the running command; see `Runner.stop`."""
        self._stopping.set()
        self._pulse.hurry()
        self._control.write("stopping", "")

    def finish(self, exit_code: int) -> None:
        """Have the user's container end with this code. To be called when the last record is durable."""
        self._control.write("done", f"{int(exit_code)}\n")
        self._control.poke("tick")

    def _environment_text(self, command: Command) -> str:
        stdin = command.stdin_bytes
        if stdin is not None:
            self._control.write(f"stdin.{self._turn}", stdin.decode("utf-8", "surrogateescape"))
        values = {
            "pfs_datum": command.datum,
            "pfs_label": " ".join(command.label.split()),
            "pfs_dir": command.working_dir or "",
            "pfs_input": os.devnull if stdin is None else f"{self._own}/stdin.{self._turn}",
            "pfs_grace": str(self._kill_grace_seconds),
        }
        variables = [f"{name}={value}" for name, value in command.env.items()]
        lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
        return "\n".join([*lines, "set -- " + shlex.join([*variables, *command.argv])]) + "\n"

    def _read_end(self) -> list[bytes]:
        """The words of the shim's answer; none until all of it is there."""
        answer = self._control.read(f"end.{self._turn}", END_BYTES)
        return answer.split() if answer.endswith(b"\n") or len(answer) == END_BYTES else []

    def _read_log(self) -> str:
        return decode_tail(self._control.read(f"log.{self._turn}", LOG_TAIL_BYTES))

    def _clear_turn(self) -> None:
        for name in ("env", "go", "end", "timeout", "log", "stdin", "output", "tail"):
            self._control.remove(f"{name}.{self._turn}")


class _Pulse:
    """Our heartbeat, and an ear on the shim's; both by counting beats, so that a paused machine kills nobody."""

    OURS = "helper.hb"

    def __init__(self, control: ControlDirectory, beat_seconds: float, start_seconds: float) -> None:
        self._control = control
        self._beat_seconds = beat_seconds
        self._start_beats = max(1, round(start_seconds / beat_seconds))
        self._stale_beats = STALE_BEATS
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._last_sign: int | None = None
        self._silent_beats = 0
        self.gone = False

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def hurry(self) -> None:
        """Be less patient from now on."""
        self._stale_beats = STALE_BEATS_AT_THE_END

    def check(self, datum: str) -> None:
        """Raise `RunnerGone` when the shim has been silent for too long."""
        if self._last_sign is None and self._silent_beats >= self._start_beats:
            seconds = self._start_beats * self._beat_seconds
            self.gone = True
            raise RunnerGone(f"the user's container did not start within {seconds:g} seconds: see the pod's events")
        if self._last_sign is not None and self._silent_beats >= self._stale_beats:
            self.gone = True
            raise RunnerGone(
                f"the user's container died while it ran datum {datum}, most often for want of memory: "
                "see the container's last state, and raise its memory limit if it says OOMKilled"
            )

    def _beat(self) -> None:
        beats = 0
        while not self._ended.is_set():
            self._control.write(self.OURS, f"{beats}\n")
            sign = self._control.modified_ns("user.hb") or self._last_sign
            self._silent_beats = self._silent_beats + 1 if sign == self._last_sign else 0
            self._last_sign = sign
            beats += 1
            self._ended.wait(self._beat_seconds)


def _pauses() -> Iterator[float]:
    """How long to wait between looks: short at first, for short datums, then a hundredth of what was waited."""
    waited = 0.0
    while True:
        pause = min(0.2, max(0.003, waited / 100))
        yield pause
        waited += pause

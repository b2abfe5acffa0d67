"""The local runner: the user's command as a process of this machine, with /pfs its own.

For laptops, demos and tests. Each slot has a launcher process (`launcher.py`) that has entered a
private mount namespace once, so that a datum costs one exec and a few renames. Nothing is written
outside the scratch directory. Where the operating system refuses such namespaces, `pfs_root_env=True`
runs commands without: they find their files under `$PFS_ROOT`, and paths that name /pfs do not work.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_pachy.errors import Denied
from airflow_pachy.worker.disk import remove_tree
from airflow_pachy.worker.output import OutputLog
from airflow_pachy.worker.runner import Command, Exit, RunnerGone

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# A pod's container gets none of the scheduler's environment, where credentials are; a local command
# gets what programs need to start at all. Everything else is for the transform's `env`.
PASSED_ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    }
)
POLL_SECONDS = 0.2


class NamespaceRefused(Denied):
    """The operating system does not let us give a command its own /pfs."""


class LocalRunner:
    """Runs commands in `parallelism` slots; a context manager.

    `scratch` is an existing directory for staged datums (default: a new one in the system's temporary
    directory, removed afterwards). `log` receives the commands' output line by line. Raises
    `NamespaceRefused`.
    """

    def __init__(
        self,
        parallelism: int = 1,
        *,
        scratch: Path | None = None,
        pfs_root_env: bool = False,
        log: Callable[[str], None] | None = None,
        kill_grace_seconds: float = 10.0,
    ) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="pachy-", dir=scratch)).resolve()
        self._stopping = threading.Event()
        self._closed = False
        (self._scratch / "stage").mkdir()
        log = log or logging.getLogger("airflow_pachy.datums").info
        self.slots: list[LocalSlot] = []
        try:
            for number in range(parallelism):
                launcher = _Launcher(self._scratch / f"slot-{number}", private=not pfs_root_env)
                self.slots.append(
                    LocalSlot(launcher, self._stopping, log, kill_grace_seconds, name_lines=parallelism > 1)
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def stage_root(self) -> Path:
        """See `Runner.stage_root`. Raises `RunnerGone` when it is not there any more."""
        if self._closed:
            raise RunnerGone("the runner was closed before; run the set with a new one")
        return self._scratch / "stage"

    def stop(self) -> None:
        """End the running commands; see `Runner.stop`."""
        self._stopping.set()

    def close(self) -> None:
        """End the launchers, and with them whatever still runs, and remove the scratch directory."""
        self._closed = True
        for slot in self.slots:
            slot.close()
        remove_tree(self._scratch)


class LocalSlot:
    """One launcher and the directory that its commands see as /pfs."""

    def __init__(
        self,
        launcher: _Launcher,
        stopping: threading.Event,
        log: Callable[[str], None],
        kill_grace_seconds: float,
        *,
        name_lines: bool,
    ) -> None:
        self._launcher = launcher
        self._stopping = stopping
        self._log = log
        self._kill_grace_seconds = kill_grace_seconds
        self._name_lines = name_lines
        self.pfs = launcher.pfs
        self.pfs_path = launcher.pfs_path

    def run(self, command: Command) -> Exit:
        """Execute the command; see `Slot.run`."""
        if self._launcher.closed:
            raise RunnerGone("the runner was closed before; run the set with a new one")
        if self._stopping.is_set():
            return Exit(128 + signal.SIGTERM, 0.0, stopped=True)
        prefix = f"[{command.datum[:12]}] " if self._name_lines else ""
        label = f" ({command.label})" if command.label else ""
        # Airflow's log view folds what lies between the markers; lines of several slots may be interleaved.
        group = "" if self._name_lines else "::group::"
        self._log(f"{prefix}{group}pfs: datum {command.datum} start{label}")
        output = OutputLog(lambda line: self._log(prefix + line))
        end = _Execution(self._launcher, command, output, self._stopping, self._kill_grace_seconds).follow()
        self._log(f"{prefix}pfs: datum {command.datum} end {end.code}")
        if group:
            self._log("::endgroup::")
            if end.code:
                said = f"ended with exit code {end.code}, see the group above"
                self._log(f"pfs: datum {command.datum}{label} {said}")
        return end

    def close(self) -> None:
        """End the launcher."""
        self._launcher.close()


class _Execution:
    """One command from start to end: its output is read, its limits are kept."""

    def __init__(
        self,
        launcher: _Launcher,
        command: Command,
        output: OutputLog,
        stopping: threading.Event,
        kill_grace_seconds: float,
    ) -> None:
        self._launcher = launcher
        self._command = command
        self._output = output
        self._stopping = stopping
        self._grace_seconds = kill_grace_seconds
        self._started = time.monotonic()
        self._ending_since: float | None = None
        self._timed_out = False
        self._stopped = False
        self._error = ""

    def follow(self) -> Exit:
        read_fd, write_fd = os.pipe()
        with selectors.DefaultSelector() as selector, open(read_fd, "rb", buffering=0) as source:
            try:
                self._launcher.start(self._command, write_fd)
            finally:
                os.close(write_fd)
            selector.register(source, selectors.EVENT_READ)
            selector.register(self._launcher.channel, selectors.EVENT_READ)
            code: int | None = None
            while code is None or source.fileno() in selector.get_map():
                for key, _events in selector.select(POLL_SECONDS):
                    if key.fd == source.fileno():
                        data = source.read(1 << 16)
                        if data:
                            self._output.feed(data)
                        else:
                            selector.unregister(source)
                    else:
                        code = self._receive_exit()
                        selector.unregister(self._launcher.channel)
                if code is None:
                    self._keep_limits()
        self._output.end()
        seconds = time.monotonic() - self._started
        return Exit(code, seconds, self._timed_out, self._stopped, self._output.tail(), self._error)

    def _receive_exit(self) -> int:
        message = self._launcher.receive()
        self._error = message.get("message", "")
        if self._error:
            self._output.feed(f"pfs: {self._error}\n".encode())
        return int(message["exit"])

    def _keep_limits(self) -> None:
        if self._launcher.closed:
            raise RunnerGone(f"the runner was closed while {self._command.argv[0]} ran; its datum was not finished")
        now = time.monotonic()
        if self._ending_since is not None:
            if now - self._ending_since >= self._grace_seconds:
                self._launcher.signal(signal.SIGKILL)
            return
        limit = self._command.timeout_seconds
        self._timed_out = limit is not None and now - self._started >= limit
        self._stopped = self._stopping.is_set()
        if self._timed_out or self._stopped:
            self._ending_since = now
            self._launcher.signal(signal.SIGTERM)


class _Launcher:
    """The process that starts commands, seen from our side."""

    def __init__(self, directory: Path, *, private: bool) -> None:
        self.pfs = directory / "pfs"
        self.pfs.mkdir(parents=True)
        self.pfs_path = "/pfs" if private else str(self.pfs)
        new_root = directory / "root"
        new_root.mkdir()
        self.channel, theirs = socket.socketpair()
        script = Path(__file__).with_name("launcher.py")
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(script),
                    str(theirs.fileno()),
                    str(self.pfs),
                    str(new_root) if private else "",
                ],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.closed = False
        self._buffer = b""
        hello = self.receive()
        if "refused" in hello:
            self.close()
            raise NamespaceRefused(_how_to_allow(hello["refused"]))

    def start(self, command: Command, output_fd: int) -> None:
        request = {"run": command.argv, "env": _environment(command), "cwd": command.working_dir}
        stdin = os.memfd_create("stdin", os.MFD_CLOEXEC)
        try:
            if command.stdin_bytes is None:
                os.close(stdin)
                stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            else:
                os.write(stdin, command.stdin_bytes)
                os.lseek(stdin, 0, os.SEEK_SET)
            line = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(self.channel, [line], [stdin, output_fd])
            self.channel.sendall(line[sent:])
        finally:
            os.close(stdin)

    def signal(self, number: int) -> None:
        self.channel.sendall(json.dumps({"signal": int(number)}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = self.channel.recv(1 << 16)
            if not data:
                raise RunnerGone(
                    f"the process that starts the user's commands ended with status {self._process.wait()}: "
                    "it may have been killed for want of memory"
                )
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        # Closing a descriptor takes it out of other threads' selectors without a word: they look at `closed`.
        self.closed = True
        self.channel.close()
        self._process.wait()


def _environment(command: Command) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ENVIRONMENT or name.startswith("LC_")}
    return {**passed, **command.env}


def _how_to_allow(refusal: str) -> str:
    return (
        f"the operating system does not let a process have its own /pfs ({refusal}). "
        "Allow unprivileged user namespaces (sysctl user.max_user_namespaces > 0, kernel.unprivileged_userns_clone=1, "
        "kernel.apparmor_restrict_unprivileged_userns=0; in a container: --security-opt seccomp=unconfined or "
        "--cap-add SYS_ADMIN), or run with pfs_root_env=True and have the command use $PFS_ROOT instead of /pfs"
    )

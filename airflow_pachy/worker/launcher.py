"""Runs as a process of its own: gives the user's commands a private /pfs and leaves none of their processes behind.

Started once per slot by `airflow_pachy.worker.local` as a plain script, so that it costs neither our
imports nor a fork of a threaded process; the standard library is all it needs. It makes a mount
namespace whose root shows everything the host's root shows, plus /pfs; the host's own root is never
written to. Then it serves requests, one JSON line each on a Unix socket:

    {"run": argv, "env": {...}, "cwd": path}     with two file descriptors: stdin, and stdout = stderr
        -> {"started": pid}, then {"exit": code}, when no process of the command is left
    {"signal": number}                           to every process of the running command

End of file on the socket kills them and ends the launcher.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_CHILD_SUBREAPER = 36
OUTPUT_FDS = 2

_libc = ctypes.CDLL(None, use_errno=True)


def main(socket_fd: int, pfs: str, new_root: str) -> None:
    """Serve on the socket; with a `new_root` (an empty directory to mount on), `pfs` appears as /pfs."""
    channel = socket.socket(fileno=socket_fd)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        if new_root:
            cwd = Path.cwd()
            unshare()
            enter_root(Path(new_root), Path(pfs))
            os.chdir(cwd)
    except OSError as error:
        _send(channel, {"refused": f"{error.filename or 'setup'}: {error.strerror}"})
        return
    _send(channel, {"ready": True})
    Server(channel).serve()


def unshare() -> None:
    """Enter a mount namespace of our own: as root directly, otherwise through a user namespace that keeps our ids."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc.unshare(CLONE_NEWNS) == 0:
        return
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", name).write_text(text)


def enter_root(new_root: Path, pfs: Path) -> None:
    """Make `new_root` the root: a file system of nothing but binds of the old root's entries, and `pfs` at /pfs."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("pfs", new_root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    # The entry that holds new_root comes first, while new_root is still empty, lest it contain itself again and again.
    home = new_root.parts[1]
    for entry in sorted(Path("/").iterdir(), key=lambda entry: (entry.name != home, entry.name)):
        if entry.name != "pfs":
            bind_entry(entry, new_root / entry.name)
    (new_root / "pfs").mkdir()
    mount(pfs, new_root / "pfs", None, MS_BIND)
    old_root = new_root / ".old-root"
    old_root.mkdir()
    _check(_libc.pivot_root(os.fsencode(new_root), os.fsencode(old_root)), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/.old-root", MNT_DETACH), "umount /.old-root")
    Path("/.old-root").rmdir()
    mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def bind_entry(entry: Path, place: Path) -> None:
    """Show one entry of the old root at `place`."""
    if entry.is_symlink():
        place.symlink_to(entry.readlink())
    elif entry.is_dir():
        place.mkdir()
        mount(entry, place, None, MS_BIND | MS_REC)
    elif entry.is_file():
        place.touch()
        mount(entry, place, None, MS_BIND)


def mount(source: str | Path, target: str | Path, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


class Server:
    """Runs one command at a time for the process at the other end of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._fds: list[int] = []
        self._main_pid = 0

    def serve(self) -> None:
        """Serve until the other end closes."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        connected = True
        while connected:
            ready = [fd for fd, _event in poll.poll()]
            if wake_read in ready:
                os.read(wake_read, 4096)
                self._reap()
            if self._channel.fileno() in ready:
                connected = self._receive()
        kill_children()

    def _receive(self) -> bool:
        data, fds, _flags, _address = socket.recv_fds(self._channel, 1 << 16, OUTPUT_FDS)
        self._fds += fds
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "run" in request:
                self._start(request)
            elif self._main_pid:
                for pid in descendants(os.getpid()):
                    _kill(pid, request["signal"])
        return bool(data)

    def _start(self, request: dict[str, Any]) -> None:
        stdin, output = self._fds
        try:
            process = subprocess.Popen(
                request["run"],
                env=request["env"],
                cwd=request["cwd"],
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            _send(self._channel, {"exit": code, "message": f"{error.filename}: {error.strerror}"})
        else:
            self._main_pid = process.pid
            process.returncode = 0  # we wait for it, among all our children; Popen must not
        finally:
            os.close(stdin)
            os.close(output)
            self._fds.clear()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main_pid:
                self._main_pid = 0
                kill_children()
                code = os.waitstatus_to_exitcode(status)
                _send(self._channel, {"exit": code if code >= 0 else 128 - code})
                return


def kill_children() -> None:
    """Kill and reap until no descendant is left: the orphans of whatever dies become our children."""
    while True:
        for pid in children(os.getpid()):
            _kill(pid, signal.SIGKILL)
        try:
            # Never a blocking wait: the list can miss a process that is handed to us while we read it.
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.001)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`."""
    found = children(pid)
    for child in found:
        found.extend(children(child))  # the loop goes on over what it appends
    return found


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return found


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(pid, number)


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])

"""Files come out the same whoever writes them, this process or the one beside it, whatever happens to that."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from support import forks

from airflow_pachy.errors import Corrupt
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.content import second_writer as module
from airflow_pachy.pfs.content.second_writer import SecondWriter, second_writer
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 60
WHEN_US = 10**15
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux writes with two processes"),
    # Commands fork before they have threads; a process that runs tests may have some.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def entries(store: MemoryStore) -> list[Entry]:
    """Small files in many packs, tiny ones, and one of several chunks."""
    noise = random.Random(1)
    with ContentWriter(store, pack_target_bytes=10_000) as writer:
        found = []
        for number in range(FILES):
            content = writer.write(noise.randbytes(600 + number * 10 if number % 10 else 7))
            found.append(Entry(f"{number % 3}/{number:03}", content, number % 7 == 0, None, WHEN_US))
        found.append(Entry("large", writer.write(noise.randbytes(15 << 20)), executable=False, mtime_us=WHEN_US))
    return found


@pytest.fixture
def second() -> Iterator[SecondWriter]:
    writer = SecondWriter()
    yield writer
    writer.close()


def reader_of(store: MemoryStore, second: SecondWriter | None) -> ContentReader:
    reader = ContentReader(store)
    reader.second_writer = second
    return reader


def materialise(reader: ContentReader, entries: list[Entry], folder: Path) -> Counter[str]:
    """Write all files; how many files and bytes were told of."""
    told: Counter[str] = Counter()
    reader.materialise(
        ((entry, folder / entry.path) for entry in entries),
        progress=lambda files, size_bytes: told.update(files=files, bytes=size_bytes),
    )
    return told


def require_all(store: MemoryStore, entries: list[Entry], folder: Path, told: Counter[str]) -> None:
    for entry in entries:
        path = folder / entry.path
        assert path.read_bytes() == ContentReader(store).read(entry.content)
        assert os.access(path, os.X_OK) == entry.executable
        assert path.stat().st_mtime_ns == WHEN_US * 1000
    assert told == {"files": len(entries), "bytes": sum(entry.content.size_bytes for entry in entries)}


@pytest.mark.parametrize("turns", [0, 1, 8])
def test_two_write_what_one_would(store, entries, second, tmp_path, turns) -> None:
    second._most_turns = turns  # with none, the other process has to do all that it can
    told = materialise(reader_of(store, second), entries, tmp_path / "out")
    require_all(store, entries, tmp_path / "out", told)
    assert second._pid == 0
    again = materialise(reader_of(store, second), entries, tmp_path / "out")  # it has ended: this process does all
    require_all(store, entries, tmp_path / "out", again)


def test_a_writer_that_is_killed_before_it_began(store, entries, second, tmp_path) -> None:
    os.kill(second._pid, signal.SIGKILL)
    told = materialise(reader_of(store, second), entries, tmp_path)
    require_all(store, entries, tmp_path, told)


def test_what_a_killed_writer_has_not_written_is_written_here(store, entries, second, tmp_path) -> None:
    second._most_turns = 0
    plain, rooms = second.hand_over, []

    def stopped(body, parts):
        if not rooms:
            os.kill(second._pid, signal.SIGSTOP)
        handed = plain(body, parts)
        rooms.append(handed)
        if len(rooms) == 2:
            assert rooms == [True, True]
            os.kill(second._pid, signal.SIGKILL)
        return handed

    second.hand_over = stopped
    told = materialise(reader_of(store, second), entries, tmp_path)
    require_all(store, entries, tmp_path, told)
    assert len(rooms) > 2


@pytest.mark.parametrize("turns", [0, 1])
def test_damage_is_told_by_whoever_finds_it(store, entries, second, tmp_path, turns) -> None:
    second._most_turns = turns
    for info in list(store.list_keys("packs/")):
        body = bytearray(store.get(info.key))
        body[5] ^= 1
        store.put(info.key, body)
    with pytest.raises(Corrupt, match=r"do not hash to [0-9a-f]{16}"):
        materialise(reader_of(store, second), entries[:-1], tmp_path)
    second.close()
    assert second._pid == 0


@pytest.mark.parametrize("turns", [0, 1])
def test_an_error_of_the_disk_names_its_file(store, entries, second, tmp_path, turns) -> None:
    second._most_turns = turns
    (tmp_path / "1" / "031").mkdir(parents=True)
    with pytest.raises(OSError, match="031"):
        materialise(reader_of(store, second), entries[:-1], tmp_path)


def test_a_disk_that_makes_us_wait_gets_several_writers(second, monkeypatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 9.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock), thread_time=lambda: 0.5))
    assert second._most_turns == 1
    with second.turn():
        pass
    assert second._most_turns == module._MANY


def test_ctrl_c_is_for_the_parent_and_closing_leaves_no_process(second) -> None:
    pid = second._pid
    os.kill(pid, signal.SIGINT)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    second.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    second.close()


def test_a_writer_ends_when_its_parent_is_gone() -> None:
    script = "import os; from airflow_pachy.pfs.content.second_writer import SecondWriter; SecondWriter(); os._exit(7)"
    # The child has our pipe for output, too: this returns when both are gone.
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_a_process_that_has_imported_much_does_not_fork(monkeypatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    with second_writer() as second:
        assert second is None


def test_a_fork_that_is_refused_is_done_without(monkeypatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for name in ("numpy", "pyarrow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    handles = len(os.listdir("/proc/self/fd"))
    with second_writer() as second:
        assert second is None
    assert len(os.listdir("/proc/self/fd")) == handles


def test_the_command_writes_with_two_processes(tmp_path) -> None:
    places = {"storage": (tmp_path / "store").as_uri(), "metadata": f"sqlite:///{tmp_path}/metadata.db"}
    own = {"PACHY_STORAGE": places["storage"], "PACHY_METADATA": places["metadata"]}
    get = ["get", "file", "-r", "images@master:/", "-o", str(tmp_path / "out")]
    command = [sys.executable, "-c", forks.PROGRAM, *get]
    with Pfs.open(**places) as pfs:
        pfs.create_repo("images")
        with pfs.commit("images@master") as commit:
            for number in range(20):
                commit.put_file(f"/{number % 3}/{number}", bytes([number]) * 1000)
        ended = subprocess.run(command, capture_output=True, timeout=300, check=False, env=os.environ | own)
        assert (ended.stdout, ended.stderr) == (b"0 1\n", b"")
        for number in range(20):
            assert (tmp_path / "out" / str(number % 3) / str(number)).read_bytes() == bytes([number]) * 1000
        pfs.delete_repo("images")
    ended = subprocess.run(command, capture_output=True, timeout=300, check=False, env=os.environ | own)
    assert ended.stdout == b"1 1\n"  # the other process is gone before this one
    assert b"there is no repo" in ended.stderr

"""Files come out the same whoever writes them, this process or the one that has the store, whatever happens to that."""

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
from airflow_pachy.pfs.content.second_writer import SecondWriter, shared_work
from airflow_pachy.pfs.objects import LocalStore
from airflow_pachy.pfs.objects.beside import StoreBeside
from airflow_pachy.pfs.objects.line import Line
from airflow_pachy.pfs.tree import Entry
from airflow_pachy.pfs.tree.rows import leaf_table

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
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def entries(store: LocalStore) -> list[Entry]:
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
def beside(tmp_path: Path) -> Iterator[StoreBeside]:
    shared = shared_work()
    store = StoreBeside((tmp_path / "store").as_uri(), shared=shared)
    yield store
    store.close()
    shared.rooms.close()


@pytest.fixture
def second(beside: StoreBeside) -> SecondWriter:
    return SecondWriter(beside, beside.shared.rooms)


def reader_of(store: LocalStore, second: SecondWriter | None) -> ContentReader:
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


def require_all(store: LocalStore, entries: list[Entry], folder: Path, told: Counter[str]) -> None:
    for entry in entries:
        path = folder / entry.path
        assert path.read_bytes() == ContentReader(store).read(entry.content)
        assert os.access(path, os.X_OK) == entry.executable
        assert path.stat().st_mtime_ns == WHEN_US * 1000
    assert told == {"files": len(entries), "bytes": sum(entry.content.size_bytes for entry in entries)}


@pytest.mark.parametrize("turns", [0, 1, 8])
@pytest.mark.parametrize("by", ["entries", "columns"])
def test_two_write_what_one_would(store, entries, beside, tmp_path, turns, by, monkeypatch) -> None:
    monkeypatch.setattr("airflow_pachy.pfs.content.materialise._PORTION", 7)
    for gone in (False, True):
        second = SecondWriter(beside, beside.shared.rooms)
        second._most_turns = turns  # with none, the other process has to do all that it can
        if by == "entries":
            told = materialise(reader_of(store, second), entries, tmp_path / "out")
        else:
            told = materialise_table(reader_of(store, second), entries, tmp_path / "out")
        require_all(store, entries, tmp_path / "out", told)
        if not gone:
            kill(beside)  # from now on this process does all


def materialise_table(reader: ContentReader, entries: list[Entry], folder: Path) -> Counter[str]:
    told: Counter[str] = Counter()
    shown = [Entry(f"above/{one.path}", one.content, one.executable, None, one.mtime_us) for one in entries]
    reader.materialise_tables(
        [leaf_table(shown[:50]), leaf_table(shown[50:])],
        str(folder),
        skipped=len("above/"),
        progress=lambda files, size_bytes: told.update(files=files, bytes=size_bytes),
    )
    return told


def kill(beside: StoreBeside) -> None:
    os.kill(beside._pid, signal.SIGKILL)
    os.waitid(os.P_PID, beside._pid, os.WEXITED | os.WNOWAIT)


def test_what_a_killed_writer_has_not_written_is_written_here(store, entries, beside, second, tmp_path, monkeypatch):
    ask, asked = Line.ask, []

    def interrupted(line, verb, *request, body=b""):
        asked.append(verb)
        if verb != "work" or asked.count("work") != 2:
            return ask(line, verb, *request, body=body)
        os.kill(beside._pid, signal.SIGSTOP)  # it has been told what to write, and does not
        pair = ask(line, verb, *request, body=body)
        kill(beside)
        return pair

    monkeypatch.setattr(Line, "ask", interrupted)
    second._most_turns = 0
    told = materialise(reader_of(store, second), entries, tmp_path / "out")
    require_all(store, entries, tmp_path / "out", told)
    assert asked.count("work") >= 2


@pytest.mark.parametrize("turns", [0, 1])
def test_damage_is_told_by_whoever_finds_it(store, entries, second, tmp_path, turns) -> None:
    second._most_turns = turns
    for info in list(store.list_keys("packs/")):
        body = bytearray(store.get(info.key))
        body[5] ^= 1
        store.put(info.key, body)
    with pytest.raises(Corrupt, match=r"do not hash to [0-9a-f]{16}"):
        materialise(reader_of(store, second), entries[:-1], tmp_path / "out")


def test_an_object_that_was_cut_short_is_named(store, entries, second, tmp_path) -> None:
    for info in list(store.list_keys("packs/")):
        store.put(info.key, store.get(info.key)[:-1])
    with pytest.raises(Corrupt, match=r"packs/\S+ has \d+ of the \d+ bytes expected at \d+"):
        materialise(reader_of(store, second), entries[:-1], tmp_path / "out")


@pytest.mark.parametrize("turns", [0, 1])
def test_an_error_of_the_disk_names_its_file(store, entries, second, tmp_path, turns) -> None:
    second._most_turns = turns
    (tmp_path / "out" / "1" / "031").mkdir(parents=True)
    with pytest.raises(OSError, match="031"):
        materialise(reader_of(store, second), entries[:-1], tmp_path / "out")


def test_a_disk_that_makes_us_wait_gets_several_writers(second, monkeypatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 9.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock), process_time=lambda: 0.5))
    assert second._most_turns == 1
    with second.turn():
        pass
    assert second._most_turns == module._MANY


def test_a_store_that_makes_us_wait_is_asked_for_more_at_a_time(second) -> None:
    free = second._rooms._free
    assert free.qsize() == module._FIRST_ROOMS
    second.arrived()
    assert free.qsize() == module._FIRST_ROOMS + 1
    second._turns = 1  # somebody has still to write what came before
    second.arrived()
    assert free.qsize() == module._FIRST_ROOMS + 1
    second._turns = 0
    for _ in range(module.ROOMS):
        second.arrived()
    assert free.qsize() == module.ROOMS


def test_ctrl_c_is_for_the_parent_and_closing_leaves_no_process(beside) -> None:
    pid = beside._pid
    os.kill(pid, signal.SIGINT)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    beside.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    beside.close()


def test_a_writer_ends_when_its_parent_is_gone(tmp_path) -> None:
    script = (
        "import os, sys; from airflow_pachy.pfs.content.second_writer import shared_work; "
        "from airflow_pachy.pfs.objects.beside import StoreBeside; "
        "StoreBeside(sys.argv[1], shared=shared_work()); os._exit(7)"
    )
    # The child has our pipe for output, too: this returns when both are gone.
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path.as_uri()], capture_output=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stderr) == (7, b"")


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

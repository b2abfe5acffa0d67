"""A directory is read the same by this process and by a child ahead of it, whatever happens to either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import forks

from airflow_pachy.errors import InvalidPath
from airflow_pachy.pfs import Pfs, local_files, scanning
from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.local_directories import DirectoryAhead, LocalDirectory, read_ahead
from airflow_pachy.pfs.scanning import LARGE, READ
from airflow_pachy.pfs.seen_files import SeenFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 30
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads ahead"),
    # Commands fork before they have threads; a process that runs tests may have some.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small and tiny files, a large one, one that may be run, and a link to a file."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for number in range(FILES):
        (folder / "sub" / f"{number:02}").write_bytes(bytes([number]) * (number * 100))
    (folder / "large").write_bytes(b"large" * 400_000)
    (folder / "sub.txt").write_bytes(b"between")
    (folder / "run").write_bytes(b"#!")
    (folder / "run").chmod(0o755)
    (folder / "zz").symlink_to(folder / "sub" / "07")
    return folder


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files in a batch: more batches than there is room for at once."""
    monkeypatch.setattr(scanning, "_MOST_FILES", 2)


@pytest.fixture
def ahead(folder: Path, few_at_a_time: None) -> Iterator[DirectoryAhead]:
    """The folder, which a child has begun to read."""
    directory = DirectoryAhead(folder)
    yield directory
    directory.close()


def contents(directory: LocalDirectory) -> dict[str, tuple[object, ...]]:
    """What all batches say of each path, with its bytes; in order, each path once."""
    found: dict[str, tuple[object, ...]] = {}
    for _, batch in directory.batches():
        start = 0
        for place, path in enumerate(batch.paths):
            assert path > max(found, default="")
            length = batch.lengths[place]
            data = bytes(batch.data[start : start + length])
            start += length
            columns = (batch.sizes, batch.mtimes_ns, batch.ctimes_ns, batch.inodes, batch.executable)
            found[path] = (batch.kinds[place], data, batch.hash(place), *(column[place] for column in columns))
            assert batch.kinds[place] == LARGE or batch.hash(place) == hash_bytes(data)
    return found


def is_running(pid: int) -> bool:
    """Whether our child is there, be it as one whose end nobody has asked for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_tells_what_this_process_would(ahead: DirectoryAhead, folder: Path) -> None:
    expected = contents(LocalDirectory(folder))
    assert len(expected) == FILES + 4
    assert [path for path, facts in expected.items() if facts[0] == LARGE] == ["large"]
    assert expected["zz"][1] == b"\7" * 700
    assert contents(ahead) == expected


@pytest.mark.usefixtures("few_at_a_time")
def test_what_a_child_has_read_makes_the_same_tree(pfs: Pfs, folder: Path) -> None:
    pfs.create_repo("images")
    pfs.put_dir("images@plain:/x", folder)
    directory = DirectoryAhead(folder)
    pfs.put_dir("images@ahead:/x", directory)
    assert pfs.tree("images@ahead").root.id == pfs.tree("images@plain").root.id
    assert pfs.get_file("images@ahead:/x/sub/29") == bytes([29]) * 2900
    assert pfs.get_file("images@ahead:/x/large") == b"large" * 400_000
    (folder / "sub" / "03").write_bytes(b"new")
    pfs.put_dir("images@ahead:/x", directory)  # a second time it is read here
    assert [diff.path for diff in pfs.diff_file("images@ahead:/")] == ["/x/sub/03"]


@pytest.mark.parametrize("batches", [0, 1, 5])
def test_when_the_child_is_killed_the_rest_is_read_here(ahead: DirectoryAhead, folder: Path, batches: int) -> None:
    paths: list[str] = []
    for number, (_, batch) in enumerate(ahead.batches()) if batches else ():
        paths += batch.paths
        if number == batches - 1:
            os.kill(ahead._pid, signal.SIGKILL)
    if not batches:
        os.kill(ahead._pid, signal.SIGKILL)
        paths = list(contents(ahead))
    assert paths == list(contents(LocalDirectory(folder)))


def test_ctrl_c_is_for_the_parent(ahead: DirectoryAhead) -> None:
    os.kill(ahead._pid, signal.SIGINT)
    assert len(contents(ahead)) == FILES + 4


@pytest.mark.parametrize("batches", [0, 1, 1000])
def test_closing_leaves_no_process_behind(ahead: DirectoryAhead, batches: int) -> None:
    pid = ahead._pid
    for number, _ in enumerate(ahead.batches()) if batches else ():
        if number == batches - 1:
            break
    ahead.close()
    assert not is_running(pid)
    ahead.close()


def test_a_child_ends_when_its_parent_is_gone(folder: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from airflow_pachy.pfs import scanning
from airflow_pachy.pfs.local_directories import DirectoryAhead
scanning._MOST_FILES = 1
DirectoryAhead(Path(sys.argv[1]))
os._exit(7)
"""
    # The child has our pipe for output, too: this returns when both are gone.
    ended = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"")


@pytest.mark.usefixtures("few_at_a_time")
@pytest.mark.parametrize("kind", [LocalDirectory, DirectoryAhead])
def test_errors_are_those_of_the_file(kind: type[LocalDirectory], folder: Path, monkeypatch) -> None:
    plain = os.open

    def refuse(path, flags, *more, **options):
        if str(path).endswith("17"):
            raise PermissionError(13, "Permission denied", path)
        return plain(path, flags, *more, **options)

    monkeypatch.setattr(local_files.os, "open", refuse)
    directory = kind(folder)
    with pytest.raises(PermissionError, match="Permission denied") as caught:
        contents(directory)
    assert caught.value.filename == str(folder / "sub" / "17")
    monkeypatch.undo()

    (folder / "sub" / "18").unlink()
    (folder / "sub" / "18").symlink_to("nowhere")
    directory = kind(folder)
    with pytest.raises(InvalidPath, match="18 is a link to nothing, or vanished"):
        contents(directory)
    with pytest.raises(InvalidPath, match="not a directory"):
        contents(kind(folder / "no"))
    directory.close()


@pytest.mark.parametrize("kind", [LocalDirectory, DirectoryAhead])
@pytest.mark.parametrize(
    ("size_bytes", "read"), [(0, READ), (10, READ), (5_000, READ), (1 << 20, READ), ((1 << 20) + 1, LARGE)]
)
def test_what_grows_or_shrinks_while_it_is_read_is_taken_as_it_was_read(
    kind: type[LocalDirectory], size_bytes: int, read: int, folder: Path, monkeypatch, pfs: Pfs
) -> None:
    plain, data = scanning.open_found, b"x" * size_bytes

    def opened(item):
        found = plain(item)
        if item.name == "17":
            (folder / "sub" / "17").write_bytes(data)
        return found

    monkeypatch.setattr(scanning, "open_found", opened)
    found = contents(kind(folder))
    assert found["sub/17"][:2] == (read, data if read == READ else b"")
    assert found["sub/18"][1] == bytes([18]) * 1800
    pfs.create_repo("images")
    (folder / "sub" / "17").write_bytes(b"before")
    pfs.put_dir("images@master:/", kind(folder))
    assert pfs.get_file("images@master:/sub/17") == data
    assert pfs.inspect_file("images@master:/sub/17").size_bytes == size_bytes


def test_what_became_a_pipe_is_refused_and_not_waited_for(folder: Path, monkeypatch) -> None:
    plain = os.open

    def replaced(path, flags, *more, **options):
        if str(path).endswith("17"):
            os.unlink(path)
            os.mkfifo(path)
        return plain(path, flags, *more, **options)

    monkeypatch.setattr(local_files.os, "open", replaced)
    with pytest.raises(InvalidPath, match="17 is neither a file nor a directory"):
        contents(LocalDirectory(folder))


@pytest.mark.usefixtures("few_at_a_time")
def test_a_child_leaves_out_what_is_remembered(folder: Path, tmp_path: Path, pfs: Pfs) -> None:
    seen = SeenFiles(tmp_path / "memory" / "x.seen", lambda: 4_000_000_000 * 10**9)
    pfs.create_repo("images")
    pfs.put_dir("images@master:/", DirectoryAhead(folder, seen))
    (folder / "sub" / "09").write_bytes(b"new")
    directory = DirectoryAhead(folder, seen)
    assert [path for path, facts in contents_and_kinds(directory) if facts in {READ, LARGE}] == ["sub/09"]
    everything = DirectoryAhead(folder, seen, read_all=True)
    assert len([path for path, kind in contents_and_kinds(everything) if kind in {READ, LARGE}]) == FILES + 4
    pfs.put_dir("images@master:/", DirectoryAhead(folder, seen))
    assert [diff.path for diff in pfs.diff_file("images@master:/")] == ["/sub/09"]


def contents_and_kinds(directory: LocalDirectory) -> list[tuple[str, int]]:
    """Paths and whether they were read."""
    return [pair for _, batch in directory.batches() for pair in zip(batch.paths, batch.kinds, strict=True)]


def test_a_process_that_has_imported_much_does_not_fork(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    assert type(read_ahead(folder, None, read_all=False)) is LocalDirectory


def test_a_fork_that_is_refused_is_done_without(folder: Path, monkeypatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    for name in ("numpy", "pyarrow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    handles = len(os.listdir("/proc/self/fd"))
    directory = read_ahead(folder, None, read_all=False)
    assert len(contents(directory)) == FILES + 4
    assert len(os.listdir("/proc/self/fd")) == handles


def test_the_command_reads_ahead(folder: Path, tmp_path: Path) -> None:
    places = {"storage": (tmp_path / "store").as_uri(), "metadata": f"sqlite:///{tmp_path}/metadata.db"}
    own = {"PACHY_STORAGE": places["storage"], "PACHY_METADATA": places["metadata"], "PACHY_CACHE": str(tmp_path / "c")}
    put = ["put", "file", "-r", "images@master:/", "-f", str(folder)]
    command = [sys.executable, "-c", forks.PROGRAM, *put]
    with Pfs.open(**places) as pfs:
        pfs.create_repo("images")
        ended = subprocess.run(command, capture_output=True, timeout=300, check=False, env=os.environ | own)
        assert (ended.stdout, ended.stderr) == (b"0 1\n", b"")
        pfs.put_dir("images@plain:/", folder)
        assert pfs.tree("images@master").root.id == pfs.tree("images@plain").root.id
        pfs.delete_repo("images")
    ended = subprocess.run(command, capture_output=True, timeout=300, check=False, env=os.environ | own)
    assert ended.stdout == b"1 1\n"  # the child is gone before this process
    assert b"there is no repo" in ended.stderr

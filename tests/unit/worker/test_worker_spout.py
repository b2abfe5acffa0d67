"""The helper of a spout: archives in a pipe become batches in the store, and nothing that is half written does."""

import io
import os
import tarfile
import threading
import time

import pytest

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.worker.spout import Spout, check_marker
from airflow_pachy.worker.spout_batches import BatchKey, list_batches, new_life, read_batch
from airflow_pachy.worker.tar_streams import BadStream

PADDING = {"to a record": tarfile.RECORDSIZE, "none": 0}


def archive(files, *, pad=True, form=tarfile.PAX_FORMAT):
    """A tar archive; without padding it ends right after its two blocks of zeros, as Go writes it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_600_000_000
            tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    body = sink.getvalue()
    return body if pad else body[:end] + bytes(1024)


class Harness:
    """A spout on a directory instead of a volume, in a thread; `write` is what the user's code does."""

    def __init__(self, tmp_path, store, marker=""):
        self.pfs, self.store = tmp_path / "pfs", store
        (self.pfs / ".pfs").mkdir(parents=True, exist_ok=True)
        self.stop, self.logged, self.error = threading.Event(), [], None
        self.looked = threading.Event()
        self.spout = Spout(store, "s", marker, self.pfs, self.stop, self.logged.append, self._sleep, grace_seconds=0)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._wait(lambda: (self.pfs / ".pfs/spout.life").exists() or self.error)

    def _run(self):
        try:
            self.spout.run()
        except Exception as error:
            self.error = error

    def _sleep(self, seconds):
        self.looked.set()
        time.sleep(0.001)

    def _wait(self, until):
        while not until():
            assert self.thread.is_alive() or self.error
            time.sleep(0.001)

    def write(self, body):
        with open(self.pfs / "out", "wb") as pipe:
            pipe.write(body)

    def ask(self, word):
        """What `spout.sh` does before it starts the user's code."""
        (self.pfs / ".pfs/spout.want").write_text(word)
        answer = self.pfs / ".pfs/spout.go"
        self._wait(lambda: answer.exists() and answer.read_text().startswith(word))

    def end(self):
        self.stop.set()
        self.thread.join()
        if self.error:
            raise self.error
        return batches(self.store)


def batches(store):
    reader = ContentReader(store)
    return [
        [(one.path, reader.read(one.content)) for one in read_batch(store, key).outputs]
        for key in list_batches(store, "s")
    ]


@pytest.fixture
def store(tmp_path):
    return open_store(f"memory://{tmp_path.name}")


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_each_archive_is_a_batch(tmp_path, store, pad, form):
    spout = Harness(tmp_path, store)
    long = "d/" + "x" * 90 + ".txt" if form == tarfile.USTAR_FORMAT else "d/" + "x" * 200 + ".txt"
    first, second = [("a", b"1"), (long, b"2" * 70_000)], [("./b/../c"[:3] + "c", b"")]
    spout.write(archive(first, pad=pad, form=form) + archive(second, pad=pad, form=form))
    spout.write(archive([("/a", b"3")], pad=pad, form=form))
    assert spout.end() == [first, [("bc", b"")], [("a", b"3")]]


def test_directories_are_implied_and_an_empty_archive_is_nothing(tmp_path, store):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        tar.addfile(tarfile.TarInfo("d/empty"))
    spout = Harness(tmp_path, store)
    spout.write(archive([]))
    spout.write(sink.getvalue())
    assert spout.end() == [[("d/empty", b"")]]


@pytest.mark.parametrize("keep", [100, 512, 700, 1024, 1536])
def test_an_archive_that_was_cut_off_counts_for_nothing(tmp_path, store, keep):
    spout = Harness(tmp_path, store)
    spout.write(archive([("a", b"1")]))
    spout.write(archive([("b", b"2" * 600)], pad=False)[:keep])
    spout.thread.join()
    with pytest.raises(BadStream, match=r"cut off|not a tar"):
        spout.end()
    assert batches(store) == [[("a", b"1")]]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (tarfile.SYMTYPE, "l", "'l' is a link"),
        (tarfile.FIFOTYPE, "p", "'p' is a device or pipe"),
        (tarfile.REGTYPE, "../up", r"'\.\./up' is not a path below /"),
    ],
)
def test_what_cannot_be_a_file_of_a_commit_is_refused_by_name(tmp_path, store, kind, name, said):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type = kind
        tar.addfile(info)
    spout = Harness(tmp_path, store)
    spout.write(sink.getvalue())
    spout.thread.join()
    with pytest.raises(BadStream, match=said):
        spout.end()
    assert batches(store) == []


def test_text_in_the_pipe_is_no_archive(tmp_path, store):
    spout = Harness(tmp_path, store)
    spout.write(b"hello, world\n" * 100)
    spout.thread.join()
    with pytest.raises(BadStream, match="not a tar archive"):
        spout.end()


def test_the_marker_is_there_when_the_code_starts_and_is_that_of_the_last_batch(tmp_path, store):
    spout = Harness(tmp_path, store, marker="offset")
    spout.ask("first")
    assert not (spout.pfs / "offset").exists()
    spout.write(archive([("a", b"1"), ("offset", b"1")]))
    spout.write(archive([("a", b"2"), ("offset", b"2"), ("offset", b"2b")]))
    spout.write(archive([("a", b"3")]))
    spout.ask("second")
    assert (spout.pfs / "offset").read_text() == "2b"
    spout.end()
    # Another pod.
    again = Harness(tmp_path / "other", store, marker="offset")
    again.ask("third")
    assert (again.pfs / "offset").read_text() == "2b"
    again.write(archive([("offset/of/x", b"7")]))
    again.ask("fourth")
    assert (again.pfs / "offset/of/x").read_text() == "7"
    again.end()
    assert [key.marked for key in list_batches(store, "s")] == [True, True, False, True]


def test_a_helper_that_died_is_another_life_after_the_first(tmp_path, store):
    for number in range(3):
        spout = Harness(tmp_path / str(number), store)
        spout.write(archive([("n", b"%d" % number)]))
        spout.end()
    keys = list(list_batches(store, "s"))
    assert [key.sequence for key in keys] == [1, 1, 1]
    assert batches(store) == [[("n", b"0")], [("n", b"1")], [("n", b"2")]]


def test_a_life_comes_after_those_before_whatever_the_clock_says():
    future = BatchKey("s", "7ZZZZZZZZZ000000000000000Z", 4)
    assert new_life(future) == "7ZZZZZZZZZ0000000000000010"
    assert new_life(None) < new_life(future)


def test_being_told_to_end_waits_for_the_archive_that_is_coming(tmp_path, store):
    spout = Harness(tmp_path, store)
    spout.spout.grace_seconds = 60.0
    body = archive([("a", b"1" * 5000)])
    with open(spout.pfs / "out", "wb", buffering=0) as pipe:
        pipe.write(body[:2000])
        spout.stop.set()
        pipe.write(body[2000:])
    (spout.pfs / ".pfs/spout.ended").touch()
    assert spout.end() == [[("a", b"1" * 5000)]]


def test_a_marker_needs_a_name_that_can_lie_below_pfs():
    for name in ("out", ".pfs", "a/b", ".."):
        with pytest.raises(InvalidArgument, match="marker"):
            check_marker(name)
    check_marker("")


def test_a_helper_that_finds_no_writer_does_not_spin_on_the_pipe(tmp_path, store):
    spout = Harness(tmp_path, store)
    spout.looked.wait()
    assert os.stat(spout.pfs / "out").st_mode & 0o777 == 0o666
    assert spout.end() == []

"""A store in a process beside ours keeps the contract, also when that process is gone."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import forks

from airflow_pachy.errors import InvalidArgument, ObjectExists, ObjectNotFound, StoreUnavailable
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects import LocalStore, beside, beside_process
from airflow_pachy.pfs.objects.beside import StoreBeside, open_beside
from airflow_pachy.pfs.objects.beside_process import Shared
from airflow_pachy.pfs.objects.line import Line, ProcessGoneError
from airflow_pachy.pfs.objects.rooms import SharedRooms
from airflow_pachy.testing.object_store import ObjectStoreContract

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a store beside"),
    # Commands fork before they have threads; a process that runs tests may have some.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


class TestStoreBeside(ObjectStoreContract):
    def make_store(self, tmp_path):
        return StoreBeside(tmp_path.as_uri())


class TestStoreBesideThatIsGone(ObjectStoreContract):
    """What it was asked before is known; from then on a client of our own does it."""

    def make_store(self, tmp_path):
        store = StoreBeside(tmp_path.as_uri())
        _kill(store)
        with pytest.raises(StoreUnavailable, match="whether it was written is not known"):
            store.put("probe", b"", if_absent=True)
        store.delete(["probe"])
        store.put = _once_more(store.put)
        return store


class TestStoreBesideThatHasPassedEnough(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def _little(self, monkeypatch):
        monkeypatch.setattr(beside, "MOST_BYTES", -1)

    def make_store(self, tmp_path):
        return StoreBeside(tmp_path.as_uri())


def _kill(store):
    os.kill(store._pid, signal.SIGKILL)
    os.waitid(os.P_PID, store._pid, os.WEXITED | os.WNOWAIT)


def _once_more(put):
    """A create-only put that cannot know whether it was done says so; whoever asks again gets an answer."""

    def again(key, body, *, if_absent=False):
        try:
            put(key, body, if_absent=if_absent)
        except StoreUnavailable:
            if not if_absent:
                raise
            LocalStore(Path(put.__self__.url.removeprefix("file://"))).put(key, body, if_absent=True)

    return again


@pytest.fixture
def store(tmp_path):
    opened = StoreBeside(tmp_path.as_uri())
    yield opened
    opened.close()


def test_what_is_wrong_with_a_store_is_raised_at_each_use():
    store = StoreBeside("s3://bucket/prefix/", {"endpoint_url": "nonsense"})
    assert store.url == "s3://bucket/prefix"
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="nonsense"):
            store.get("x")
    store.close()


def test_an_object_that_is_expected_is_asked_for_once(store):
    store.put("a", b"1")
    store.expect("a")
    store.expect("b")
    assert store.get("a") == b"1"
    with pytest.raises(ObjectNotFound):
        store.get("b")
    store.put("a", b"2")
    assert store.get("a") == b"2"


def test_more_requests_than_pairs_wait_for_their_turn(store):
    bodies = {f"{number:03}": bytes([number]) * (1 << 16) for number in range(3 * beside.PAIRS)}
    with ThreadPoolExecutor(len(bodies)) as threads:
        list(threads.map(store.put, bodies, bodies.values()))
        assert list(threads.map(store.get, bodies)) == list(bodies.values())


def test_a_page_is_what_a_listing_asks_for(store, monkeypatch):
    monkeypatch.setattr(beside, "PAGE", 2)
    for number in range(5):
        store.put(f"{number}", b"")
    asked = []
    call = Line.call
    pages = [["0", "1"], ["2", "3"], ["4"]]

    def counted(self, *request, **options):
        asked.append(request)
        return call(self, *request, **options)[:2]

    monkeypatch.setattr(Line, "call", counted)
    assert [info.key for info in store.list_keys()] == [key for page in pages for key in page]
    assert asked == [("list", "", None), ("list", "", "1"), ("list", "", "3")]


def test_a_request_that_was_interrupted_leaves_no_answer_to_the_next_one(store, monkeypatch):
    store.put("a", b"1")
    store.put("b", b"2")
    answer = beside_process.Pair.answer

    def interrupted(pair):
        monkeypatch.setattr(beside_process.Pair, "answer", answer)
        raise KeyboardInterrupt

    monkeypatch.setattr(beside_process.Pair, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.get("a")
    assert [store.get("b") for _ in range(2 * beside.PAIRS)] == [b"2"] * 2 * beside.PAIRS


def test_the_process_ends_when_it_is_not_needed(tmp_path):
    store = StoreBeside(tmp_path.as_uri())
    pid = store._pid
    store._line.close()  # as when we die
    assert os.waitpid(pid, 0) == (pid, 0)
    store._pid = 0
    store.close()
    store.close()


def test_an_error_that_cannot_be_made_again_is_told_all_the_same():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    import pickle

    error = pickle.loads(beside_process._pickled(Odd(1, 2)))
    assert isinstance(error, StoreUnavailable)
    assert str(error) == "Odd: 1 and 2"
    assert isinstance(pickle.loads(beside_process._pickled(ObjectExists("x"))), ObjectExists)


@pytest.mark.parametrize("why", ["threads", "imports", "processors", "directory", "fork"])
def test_it_is_opened_here_where_a_fork_is_not_safe_or_not_worth_it(why, monkeypatch, tmp_path):
    monkeypatch.setattr(beside, "may_fork", lambda: why not in {"threads", "imports"})
    monkeypatch.setattr(os, "cpu_count", lambda: 1 if why == "processors" else 2)
    if why == "fork":

        def refuse(keep):
            raise OSError("no more processes")

        monkeypatch.setattr(beside, "fork", refuse)
    before = set(os.listdir("/proc/self/fd"))
    assert open_beside(tmp_path.as_uri() if why == "directory" else "s3://bucket", first="x") is None
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def sharing(tmp_path):
    """A store whose process tells the length of what is said to it, and the sum of the bytes in a room."""
    opened = StoreBeside(tmp_path.as_uri(), shared=Shared(SharedRooms(2, 8), lambda body, said: (len(said), sum(body))))
    opened.put("a", bytes(range(8)))
    yield opened
    opened.close()


@pytest.mark.parametrize("gone", [False, True])
def test_bytes_are_fetched_into_a_room_and_worked_on_there(sharing, gone):
    with sharing.fetch("a", 6, 4) as one, sharing.fetch("a", 1, 3) as other:
        if gone:
            _kill(sharing)
        assert bytes(other.body()) == b"\1\2\3"
        assert bytes(one.body()) == b"\6\7", "the object ends there"
        if gone:
            with pytest.raises(ProcessGoneError):
                other.work(b"said")
        else:
            assert other.work(b"said") == (4, 6)
            assert one.work(b"") == (0, 13)
    with pytest.raises(ObjectNotFound), sharing.fetch("b", 0, 1) as missing:
        missing.body()


def test_what_is_raised_in_a_room_is_not_about_what_was_to_come(sharing):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), sharing.fetch("b", 0, 1):
            raise ZeroDivisionError
    with sharing.fetch("a", 0, 8) as fetched:
        assert fetched.work(b"") == (0, 28)


def test_rooms_are_taken_last_back_first_and_no_more_than_are_wanted():
    rooms = SharedRooms(3, 4, first=1)
    with rooms.one() as first:
        rooms.view(first, 4)[:] = b"1234"
        rooms.more()
        rooms.more()
        rooms.more()
        with rooms.one() as second, rooms.one() as third:
            assert {first, second, third} == {0, 1, 2}
            assert rooms._free.empty()
    with rooms.one() as again:
        assert again == first
        assert bytes(rooms.view(again, 2)) == b"12"
    rooms.close()


COMMANDS = [
    ("put file -r r@master:/d -f {local}", "0 2"),
    ("put file r@master:/b -f {local}/x", "0 1"),
    ("get file -r r@master:/ -o {local}/out", "0 1"),
    ("list file r@master", "0 1"),
    ("diff file r@master", "0 1"),
    ("delete file r@master:/a", "0 1"),
    ("list repo", "0 0"),
]


@pytest.mark.parametrize(("command", "outcome"), COMMANDS)
def test_commands_have_their_store_beside_them(command, outcome, moto, tmp_path):
    storage, metadata = "s3://bucket/commands", f"sqlite:///{tmp_path}/metadata.db"
    local = tmp_path / "local"
    local.mkdir()
    (local / "x").write_bytes(b"x" * 1000)
    with Pfs.open(storage, metadata, moto) as pfs:
        pfs.create_repo("r")
        pfs.put_file("r@master:/a", b"1")
        pfs.put_file("r@master:/b", b"2" * 1000)
    options = [f"--s3={name}={value}" for name, value in moto.items()]
    given = ["--storage", storage, "--metadata", metadata, *options, *command.format(local=local).split()]
    ran = subprocess.run(
        [sys.executable, "-c", forks.PROGRAM, *given], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout.splitlines()[-1] == outcome, ran.stderr
    if "-o" in command:
        assert (local / "out" / "b").read_bytes() == b"2" * 1000
    with Pfs.open(storage, metadata, moto) as pfs:
        if "put file -r" in command:
            assert pfs.get_file("r@master:/d/x") == b"x" * 1000
        pfs.delete_repo("r", force=True)


def test_a_command_says_what_is_wrong_with_the_store(moto, tmp_path):
    metadata = f"sqlite:///{tmp_path}/metadata.db"
    options = [f"--s3={name}={value}" for name, value in moto.items()]
    given = ["--storage", "s3://nobody", "--metadata", metadata, *options, "list", "file", "r@master"]
    ran = subprocess.run(
        [sys.executable, "-m", "airflow_pachy.cli", *given], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 1
    assert "the bucket nobody does not exist" in ran.stderr

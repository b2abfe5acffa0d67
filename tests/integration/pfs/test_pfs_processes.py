"""Many processes writing to one branch: everything lands, in one line of commits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from airflow_pachy.pfs import Pfs, Trigger

PROCESSES, PUTS = 3, 8
CROWD, CROWD_PUTS = 20, 5


def _put_some(storage: str, metadata: str, s3: dict, worker: int) -> None:
    with Pfs.open(storage, metadata, s3, pooled=False) as pfs:

        def put(number):
            pfs.put_file(f"images@master:/{worker}/{number}", f"{worker}.{number}" * 300)

        with ThreadPoolExecutor(PUTS) as pool:
            list(pool.map(put, range(PUTS)))


def _put_in_turn(storage: str, metadata: str, s3: dict, worker: int) -> None:
    with Pfs.open(storage, metadata, s3, pooled=False) as pfs:
        for number in range(CROWD_PUTS):
            pfs.put_file(f"images@staging:/{worker}/{number}", f"{worker}.{number}")


def _append_some(storage: str, metadata: str, s3: dict, worker: int) -> None:
    with Pfs.open(storage, metadata, s3, pooled=False) as pfs:
        for number in range(PUTS):
            pfs.put_file("images@master:/log", f"{worker}.{number}\n", append=True)


def _run(work, *arguments, count: int = PROCESSES) -> None:
    context = get_context("spawn")
    processes = [context.Process(target=work, args=(*arguments, worker)) for worker in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * count


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mysql", marks=pytest.mark.mysql),
    ]
)
def root(request, tmp_path):
    """Storage and metadata URLs with an empty repo `images`."""
    metadata = (
        f"sqlite:///{tmp_path / 'm.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue(f"{request.param}_url")
    )
    storage = (tmp_path / "objects").as_uri()
    with Pfs.open(storage, metadata) as pfs:
        pfs.create_repo("images")
    return storage, metadata


def check_line_of_commits(pfs: Pfs, count: int, branch: str = "master") -> None:
    infos = list(pfs.list_commits(f"images@{branch}"))
    assert len(infos) == count
    assert [info.ordinal for info in infos] == list(range(count, 0, -1))
    assert all(len(info.children) <= 1 for info in infos)
    copies = {key.key.rsplit("/", 1)[1].removesuffix(".json") for key in pfs.store.list_keys("commits/")}
    assert copies == {info.id for info in infos}


def test_one_shot_puts_give_one_commit_each_and_all_files(root):
    _run(_put_some, *root, {})
    with Pfs.open(*root) as pfs:
        check_line_of_commits(pfs, PROCESSES * PUTS)
        assert pfs.inspect_file("images@master:/").file_count == PROCESSES * PUTS
        assert pfs.get_file("images@master:/2/7") == b"2.7" * 300


@pytest.mark.slow
def test_a_crowd_of_writers_all_get_through_and_followers_keep_up(root):
    """100 puts by 20 processes are 100 commits in one line; a branch that follows every move ends where they end."""
    with Pfs.open(*root) as pfs:
        pfs.create_branch("images@master", trigger=Trigger("staging", all=True))
        pfs.create_branch("images@tenth", trigger=Trigger("master", commits=10))
    _run(_put_in_turn, *root, {}, count=CROWD)
    with Pfs.open(*root) as pfs:
        check_line_of_commits(pfs, CROWD * CROWD_PUTS, "staging")
        paths = {file.path for file in pfs.glob_file("images@staging", "/*/*")}
        assert paths == {f"/{worker}/{number}" for worker in range(CROWD) for number in range(CROWD_PUTS)}
        ids = [info.id for info in pfs.list_commits("images@staging", reverse=True)]
        master, tenth = pfs.inspect_branch("images@master"), pfs.inspect_branch("images@tenth")
        assert (master.head, master.ordinal) == (ids[-1], CROWD * CROWD_PUTS)
        assert (tenth.head, tenth.ordinal) == (ids[-1], 10)


def test_appends_to_one_file_all_land(root):
    _run(_append_some, *root, {})
    with Pfs.open(*root) as pfs:
        lines = pfs.get_file("images@master:/log").decode().split()
    assert sorted(lines) == sorted(f"{worker}.{number}" for worker in range(PROCESSES) for number in range(PUTS))


def test_writers_of_one_open_commit_all_land(root):
    with Pfs.open(*root) as pfs:
        commit = pfs.start_commit("images@master")
        _run(_put_some, *root, {})
        _run(_append_some, *root, {})
        assert len(pfs.get_file(f"{commit}:/log").split()) == PROCESSES * PUTS
        before = [(file.path, file.size, file.hash) for file in pfs.walk_file("images@master:/")]
        info = pfs.finish_commit(commit)
        assert [(file.path, file.size, file.hash) for file in pfs.walk_file("images@master:/")] == before
        assert info.file_count == PROCESSES * PUTS + 1
        check_line_of_commits(pfs, 1)


@pytest.mark.s3
def test_one_shot_puts_on_a_real_s3(real_s3, postgres_url):
    with Pfs.open(real_s3.url, postgres_url, real_s3.s3) as pfs:
        pfs.create_repo("images")
    _run(_put_some, real_s3.url, postgres_url, real_s3.s3)
    with Pfs.open(real_s3.url, postgres_url, real_s3.s3) as pfs:
        check_line_of_commits(pfs, PROCESSES * PUTS)


KILLED = """
import sys
from airflow_pachy.pfs import Pfs
with Pfs.open(sys.argv[1], sys.argv[2]) as pfs:
    with pfs.commit("images@master") as commit:
        commit.put_file("/half", b"1")
        commit.settle()
        commit.put_file("/never", b"2")
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_a_killed_writer_leaves_an_open_commit_and_nothing_half_visible(root):
    with Pfs.open(*root) as pfs:
        pfs.put_file("images@master:/a", b"1")
        head = pfs.inspect_branch("images@master").head
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, *root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
        )
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        branch = pfs.inspect_branch("images@master")
        assert branch.head == head
        assert [file.path for file in pfs.list_file(f"images@{head}:/")] == ["/a"]
        assert [file.path for file in pfs.list_file("images@master:/")] == ["/a", "/half"]
        pfs.drop_commit(f"images@{branch.open_commit}")
        assert [file.path for file in pfs.list_file("images@master:/")] == ["/a"]


@pytest.mark.s3
def test_twenty_thousand_small_files_go_up_in_packs(real_s3, tmp_path):
    """However many files, a few requests in all."""
    source = tmp_path / "source"
    for number in range(20_000):
        directory = source / f"{number % 100:02}"
        if number < 100:
            directory.mkdir(parents=True)
        (directory / f"{number:05}").write_bytes(b"%d " % number * 600)
    with Pfs.open(real_s3.url, f"sqlite:///{tmp_path / 'm.db'}", real_s3.s3) as pfs:
        pfs.create_repo("images")
        pfs.put_dir("images@master:/", source)
        assert pfs.inspect_commit("images@master").file_count == 20_000
        assert len(list(pfs.store.list_keys("packs/"))) < 10

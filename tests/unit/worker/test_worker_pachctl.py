"""The `pachctl` that 2.x spouts find, run by a real busybox against a real helper."""

import shutil
import subprocess
from pathlib import Path

import pytest

from airflow_pachy.worker import shim
from tests.unit.worker.test_worker_spout import Harness, list_batches, open_store, read_batch

BUSYBOX = shutil.which("busybox")
pytestmark = pytest.mark.skipif(BUSYBOX is None, reason="busybox is not installed here")
SCRIPT = Path(shim.__file__).with_name("pachctl.sh")


@pytest.fixture
def spout(tmp_path):
    spout = Harness(tmp_path, open_store(f"memory://{tmp_path.name}"))
    (spout.pfs / ".pfs/bin").mkdir()
    shutil.copyfile(SCRIPT, spout.pfs / ".pfs/bin/pachctl")
    (spout.pfs / ".pfs/busybox").symlink_to(BUSYBOX)
    yield spout
    spout.end()


def pachctl(spout, line, stdin=b"", *, fails=False):
    words = [BUSYBOX, "sh", str(spout.pfs / ".pfs/bin/pachctl"), *line.split()]
    done = subprocess.run(words, check=False, capture_output=True, input=stdin, cwd=spout.pfs.parent, timeout=30)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.decode()


def test_files_are_put_each_as_a_commit_that_replaces(spout):
    work = spout.pfs.parent
    (work / "d/e").mkdir(parents=True)
    (work / "d/x").write_bytes(b"x")
    (work / "d/e/y").write_bytes(b"y")
    pachctl(spout, "put file spout@master:/in", b"stdin")
    pachctl(spout, "put file spout@master:/one/x -f d/x")
    pachctl(spout, "put file -f d/x -f d/e/y spout@master:/two")
    pachctl(spout, "put file spout@master -f d/x")
    pachctl(spout, "put file -r spout@master:/all -f d --append")
    assert [sorted(batch) for batch in spout.end()] == [
        [("in", b"stdin")],
        [("one/x", b"x")],
        [("two/x", b"x"), ("two/y", b"y")],
        [("x", b"x")],
        [("all/e/y", b"y"), ("all/x", b"x")],
    ]
    reasons = [read_batch(spout.store, key).reason for key in list_batches(spout.store, "s")]
    assert reasons == ["overwrite"] * 4 + [""]


def test_files_between_start_and_finish_are_one_commit(spout):
    pachctl(spout, "start commit spout@master")
    pachctl(spout, "put file spout@master:/a", b"1")
    pachctl(spout, "put file spout@master:/b", b"2")
    pachctl(spout, "finish commit spout@master")
    (batch,) = spout.end()
    assert sorted(batch) == [("a", b"1"), ("b", b"2")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list file spout@master", "is not for spouts here"),
        ("put file", "needs an address"),
        ("put file r@b:/x -f http://a/b", "local files and standard input only"),
        ("put file r@b:/../x", "not a path below /"),
        ("put file r@b:/x --split line", "does not know put file --split"),
        ("finish commit r@b", "no commit was started"),
        ("put file r@b:/x -f missing", "cannot be put"),
    ],
)
def test_what_it_cannot_do_it_says(spout, line, said):
    assert said in pachctl(spout, line, fails=True)
    assert spout.end() == []

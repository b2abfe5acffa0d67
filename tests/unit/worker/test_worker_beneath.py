import os
from pathlib import Path

import pytest

from airflow_pachy.worker.beneath import LeavesPfs, open_beneath, open_readable, resolve, stat_beneath


@pytest.fixture
def pfs(tmp_path):
    """A /pfs with an input and an out, and a secret beside it."""
    for directory in ("pfs/in/sub", "pfs/out/deep/er"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "pfs/in/a").write_text("a")
    (tmp_path / "pfs/in/sub/b").write_text("b")
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "pfs"


@pytest.fixture
def root_fd(pfs):
    fd = os.open(pfs, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_plain_path_opens(root_fd):
    fd = open_beneath(root_fd, ["in", "sub", "b"], os.O_RDONLY)
    assert os.read(fd, 10) == b"b"
    os.close(fd)


@pytest.mark.parametrize("link_at", [("out", "x"), ("out", "d", "b")])
def test_no_component_may_be_a_link(pfs, root_fd, link_at):
    pfs.joinpath(*link_at[:2]).symlink_to(pfs / "in/a" if len(link_at) == 2 else pfs / "in/sub")
    with pytest.raises(OSError):
        open_beneath(root_fd, link_at, os.O_RDONLY)


def test_opening_leaks_no_descriptors(pfs, root_fd):
    (pfs / "out/l").symlink_to("nowhere")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        os.close(open_beneath(root_fd, ["in", "sub", "b"], os.O_RDONLY))
        stat_beneath(root_fd, ["out", "deep", "er"])
        with pytest.raises(OSError):
            open_beneath(root_fd, ["out", "l", "x"], os.O_RDONLY)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_named_pipe_does_not_block(pfs, root_fd):
    os.mkfifo(pfs / "out/pipe")
    os.close(open_readable(root_fd, ["out", "pipe"]))


@pytest.mark.parametrize(
    ("at", "target", "found"),
    [
        ("out/l", "/pfs/in/a", ("in", "a")),
        ("out/l", "../in/a", ("in", "a")),
        ("out/l", "./../in/./sub/../a", ("in", "a")),
        ("out/deep/er/l", "../../../in/sub", ("in", "sub")),
        ("out/l", "../../pfs/in/a", ("in", "a")),
        ("out/l", "/../../pfs/in/a", ("in", "a")),
        ("out/l", "deep", ("out", "deep")),
        ("out/l", "/pfs", ()),
    ],
)
def test_links_inside_pfs_resolve(pfs, root_fd, at, target, found):
    (pfs / at).symlink_to(target)
    assert resolve(root_fd, at.split("/"), "/pfs") == found


def test_links_to_links_and_through_linked_directories_resolve(pfs, root_fd):
    (pfs / "out/dir").symlink_to("/pfs/in/sub")
    (pfs / "out/l2").symlink_to("dir/b")
    (pfs / "out/l1").symlink_to("l2")
    assert resolve(root_fd, ["out", "l1"], "/pfs") == ("in", "sub", "b")


@pytest.mark.parametrize("target", ["/etc/passwd", "/", "../../secret", "/pfsx/a", "/pfs/../secret", "../../../../etc"])
def test_links_out_of_pfs_are_told_apart(pfs, root_fd, target):
    (pfs / "out/l").symlink_to(target)
    with pytest.raises(LeavesPfs):
        resolve(root_fd, ["out", "l"], "/pfs")


def test_a_longer_name_for_pfs_works_too(pfs, root_fd):
    (pfs / "out/l").symlink_to(pfs / "in/a")
    assert resolve(root_fd, ["out", "l"], str(pfs)) == ("in", "a")
    (pfs / "out/m").symlink_to(pfs.parent / "secret")
    with pytest.raises(LeavesPfs):
        resolve(root_fd, ["out", "m"], str(pfs))


@pytest.mark.parametrize("target", ["l", "/pfs/out/l", "nothing", "/pfs/in/a/below"])
def test_loops_and_dangling_links_are_os_errors(pfs, root_fd, target):
    (pfs / "out/l").symlink_to(target)
    with pytest.raises(OSError):
        stat_beneath(root_fd, resolve(root_fd, ["out", "l"], "/pfs"))

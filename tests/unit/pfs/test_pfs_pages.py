"""Lists, walks and globs page by page, in both directions: each page goes on where the one before ended."""

from __future__ import annotations

import random

import pytest

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs.objects.memory import MemoryStore
from airflow_pachy.pfs.tree import Layout, Tree
from airflow_pachy.pfs.tree.entries import Content, Entry, Put

FILES = [
    "a",
    "a-b",
    "a.d/x",
    "b/a",
    "b/b/a",
    "b/b/b",
    "b/c",
    "b.c/a",
    "c/d/e/f",
    "c/d/e/g",
    "c-/x",
    "d",
    "é/x",
    "z/z/z",
]


@pytest.fixture
def many(images):
    with images.commit("images@master") as commit:
        for path in FILES:
            commit.put_file(path, path)
    return images


READS = {
    "list": lambda pfs, **page: pfs.list_file("images@master:/", **page),
    "list below": lambda pfs, **page: pfs.list_file("images@master:/b", **page),
    "walk": lambda pfs, **page: pfs.walk_file("images@master:/", **page),
    "walk below": lambda pfs, **page: pfs.walk_file("images@master:/c", **page),
    "walk files": lambda pfs, **page: pfs.walk_file("images@master:/", directories=False, **page),
    "walk files below": lambda pfs, **page: pfs.walk_file("images@master:/b", directories=False, **page),
    "walk file": lambda pfs, **page: pfs.walk_file("images@master:/a", **page),
    "glob **": lambda pfs, **page: pfs.glob_file("images@master", "/**", **page),
    "glob *": lambda pfs, **page: pfs.glob_file("images@master", "/*", **page),
    "glob */*": lambda pfs, **page: pfs.glob_file("images@master", "/*/*", **page),
    "glob b*/**": lambda pfs, **page: pfs.glob_file("images@master", "/b*/**", **page),
    "glob negated": lambda pfs, **page: pfs.glob_file("images@master", "/!(b)/*", **page),
    "glob literal": lambda pfs, **page: pfs.glob_file("images@master", "/b/c", **page),
    "glob root": lambda pfs, **page: pfs.glob_file("images@master", "/", **page),
}


@pytest.mark.parametrize("name", READS)
def test_reverse_is_the_reverse(many, name):
    forward = [info.path for info in READS[name](many)]
    assert forward
    assert [info.path for info in READS[name](many, reverse=True)] == forward[::-1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", READS)
def test_every_page_goes_on_behind_the_last(many, name, reverse):
    whole = [info.path for info in READS[name](many, reverse=reverse)]
    for size in (1, 2, 5):
        paged: list[str] = []
        while page := list(READS[name](many, after=paged[-1] if paged else None, limit=size, reverse=reverse)):
            assert len(page) <= size
            paged += [info.path for info in page]
            if paged[-1] == whole[-1]:
                break
        assert paged == whole


def test_a_limit_below_zero_is_refused(many):
    for name, read in READS.items():
        with pytest.raises(InvalidArgument, match="limit must be 0 or more, not -1"):
            list(read(many, limit=-1))
        assert list(read(many, limit=0)) == [], name


@pytest.mark.parametrize("seed", range(3))
def test_globs_in_reverse_over_many_leaves(seed):
    chance = random.Random(seed)
    paths = {
        "/".join(chance.choice("abc") * chance.randint(1, 2) for _ in range(depth))
        for depth in (2, 3, 4)
        for _ in range(60)
    }
    files = sorted(path for path in paths if not any(other.startswith(f"{path}/") for other in paths))
    content = Content(b"\0" * 32, 0, (), b"")
    tree = Tree(MemoryStore(), None, layout=Layout(4, 4)).apply(Put(Entry(path, content)) for path in files)
    for pattern in ("**", "*", "*/*", "a*/**", "?/*/*", "!(a)/**", "(a|b)*/*"):
        forward = [found.path for found in tree.glob(pattern)]
        assert [found.path for found in tree.glob(pattern, reverse=True)] == forward[::-1]
        for place in chance.sample(range(len(forward)), min(12, len(forward))):
            path = forward[place]
            assert [found.path for found in tree.glob(pattern, after=path, reverse=True)] == forward[:place][::-1]
            assert [found.path for found in tree.glob(pattern, after=path)] == forward[place + 1 :]

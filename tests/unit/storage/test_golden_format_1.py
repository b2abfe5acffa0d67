"""This version reads the root that the first version wrote: tests/golden/format-1, through the commit mirrors."""

import json
from pathlib import Path

import pytest
from blake3 import blake3

from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.headers import Frames
from airflow_pachy.pfs.mirror import read_mirror
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pfs.tree import Directory, NodeRef, Tree

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
COMMITS = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))["commits"]


@pytest.fixture
def store():
    opened = open_store((GOLDEN / "format-1").as_uri())
    yield opened
    opened.close()


def tree_of(store, commit: str) -> Tree:
    line = read_mirror(store, commit)["tree"]
    return Tree(store, NodeRef.parse(line) if line else None)


def test_the_format_is_accepted_and_nothing_is_written(store) -> None:
    before = sorted(info.key for info in store.list_keys())
    ensure_format(store)
    assert sorted(info.key for info in store.list_keys()) == before


@pytest.mark.parametrize("commit", COMMITS)
def test_the_facts_of_a_commit_are_in_its_mirror(store, commit) -> None:
    mirror = read_mirror(store, commit)
    assert mirror["state"] == "finished"
    for fact in ("repo", "branch", "parent", "description"):
        assert mirror[fact] == COMMITS[commit][fact]
    assert mirror["file_count"] == len(COMMITS[commit]["files"])


@pytest.mark.parametrize("commit", COMMITS)
def test_every_file_hash_and_listing_is_as_it_was(store, commit) -> None:
    expected, tree, reader = COMMITS[commit], tree_of(store, commit), ContentReader(store)
    assert (tree.root.id if tree.root else None) == expected["root_id"]
    assert tree.hash_of("").hex() == expected["directory_hash"]
    assert [f"{one.path}/" if isinstance(one, Directory) else one.path for one in tree.list()] == expected["top"]
    found = {
        entry.path: {
            "size": entry.content.size_bytes,
            "hash": entry.content.hash.hex(),
            "blake3": blake3(reader.read(entry.content)).hexdigest(),
            "executable": entry.executable,
        }
        for entry in tree.entries()
    }
    assert found == expected["files"]


@pytest.mark.parametrize("commit", [one for one, facts in COMMITS.items() if facts["repo"] == "pieces"])
def test_headers_and_footers_are_as_they_were(store, commit) -> None:
    """The attributes themselves, and what they mean: the pieces of a directory joined, each header and footer once."""
    tree, reader = tree_of(store, commit), ContentReader(store)
    found = {entry.path: reader.read(entry.content).decode() for entry in tree.entries("\0")}
    assert found == COMMITS[commit]["attributes"]
    names = {"\0users/csv/\0header": "header", "\0users/\0header": "header", "\0users/lines/\0footer": "footer"}
    frames = Frames(tree, reader)
    for path, name in names.items():
        directory = path[1:].rpartition("/")[0]
        assert getattr(frames.of(directory), name).decode() == found.get(path, "")
    first, replaced = (reader.read(tree.get(f"users/csv/000000000000000{number}").content) for number in (0, 1))
    around = found.get("\0users/\0header", "") + found["\0users/csv/\0header"]
    assert first.decode().startswith(f"{around}0,nnn")
    assert first.decode().endswith("nnn\n" + found.get("\0users/\0footer", ""))
    assert replaced.startswith(b"replaced") == ("\0users/\0header" in found)


@pytest.mark.parametrize("commit", COMMITS)
def test_equal_files_make_an_equal_tree_today(store, commit) -> None:
    """Identities have not moved: a tree built anew from the entries has the id that the first version gave it."""
    from airflow_pachy.pfs.tree import Put

    memory = open_store("memory://")
    tree = tree_of(store, commit)
    entries = [*tree.entries("\0"), *tree.entries()]
    rebuilt = Tree(memory, None).apply([Put(entry) for entry in entries])
    assert (rebuilt.root.id if rebuilt.root else None) == COMMITS[commit]["root_id"]

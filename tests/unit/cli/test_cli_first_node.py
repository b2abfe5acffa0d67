"""What a command will get first is told by the database alone, or not at all."""

from __future__ import annotations

import pytest

from airflow_pachy.cli.first_node import first_node
from airflow_pachy.pfs import Pfs


@pytest.fixture
def metadata(tmp_path):
    url = f"sqlite:///{tmp_path}/metadata.db"
    with Pfs.open(f"file://{tmp_path}/store", url) as pfs:
        pfs.create_repo("r")
        pfs.create_repo("empty")
        pfs.put_file("r@master:/a", b"1")
        pfs.start_commit("r@open")
        yield url, pfs


@pytest.mark.parametrize("commit", ["r", "r@master", "id"])
def test_it_is_the_root_of_the_tree(commit, metadata) -> None:
    url, pfs = metadata
    head = pfs.inspect_commit("r@master").id
    assert first_node(url, f"r@{head}" if commit == "id" else commit) == pfs.tree("r@master").root.object


@pytest.mark.parametrize(
    "commit", ["r@master^", "r@nothing", "r@open", "empty@master", "nobody@master", "r@a/b", "r@", "", "r@" + "0" * 32]
)
def test_what_is_not_plain_is_not_told(commit, metadata) -> None:
    assert first_node(metadata[0], commit) is None


@pytest.mark.parametrize("url", ["sqlite:////nowhere/metadata.db", "postgresql://nobody@localhost/x", "nonsense"])
def test_a_database_that_cannot_be_looked_at_is_for_the_command_to_explain(url) -> None:
    assert first_node(url, "r@master") is None

"""A client on a store in memory and an SQLite file."""

from __future__ import annotations

import pytest

from airflow_pachy.pfs import Pfs


@pytest.fixture
def pfs(tmp_path):
    with Pfs.open(storage="memory://", metadata=f"sqlite:///{tmp_path / 'pachy.db'}", principal="user:ada") as client:
        yield client


@pytest.fixture
def images(pfs):
    """The same client, with a repo `images`."""
    pfs.create_repo("images")
    return pfs

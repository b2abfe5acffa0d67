"""Clients of one root for several principals."""

from __future__ import annotations

import pytest

from airflow_pachy.pfs import Pfs


@pytest.fixture
def as_(tmp_path):
    """`as_("user:bob")` is a client of the same root for another principal; `as_(None)` the administrator's."""
    clients = []

    def connect(principal):
        client = Pfs.open(f"memory://{tmp_path.name}", f"sqlite:///{tmp_path / 'pachy.db'}", principal=principal)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()

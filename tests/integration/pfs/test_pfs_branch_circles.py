"""Edges between branches, drawn at the same moment: together they may not close a circle."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.pfs import Pfs

ROUNDS = 10


@pytest.fixture
def pfs(server_url):
    with Pfs.open("memory://", server_url) as client:
        client.create_repo("r")
        yield client


def draw_together(pfs, *edges):
    """What came of drawing each (branch, upstream) from a thread of its own: an error, or None."""
    start = threading.Barrier(len(edges))

    def draw(edge):
        start.wait()
        try:
            pfs.create_branch(f"r@{edge[0]}", provenance=[f"r@{edge[1]}"])
        except InvalidArgument as error:
            return error
        return None

    with ThreadPoolExecutor(len(edges)) as pool:
        return list(pool.map(draw, edges))


def test_of_two_opposite_edges_one_is_refused(pfs):
    for number in range(ROUNDS):
        a, b = f"a{number}", f"b{number}"
        for name in (a, b):
            pfs.create_branch(f"r@{name}")
        outcomes = draw_together(pfs, (a, b), (b, a))
        assert sum(error is None for error in outcomes) == 1
        assert "circle" in str(next(error for error in outcomes if error))


def test_a_circle_over_branches_that_neither_edge_shares_is_seen(pfs):
    for number in range(ROUNDS):
        a, b, c, d = (f"{letter}{number}" for letter in "abcd")
        for name in (a, b, c, d):
            pfs.create_branch(f"r@{name}")
        pfs.create_branch(f"r@{b}", provenance=[f"r@{c}"])
        pfs.create_branch(f"r@{d}", provenance=[f"r@{a}"])
        outcomes = draw_together(pfs, (a, b), (c, d))
        assert sum(error is None for error in outcomes) == 1

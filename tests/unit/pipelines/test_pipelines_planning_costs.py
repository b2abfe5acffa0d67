"""Planning again costs what was committed, whatever there is besides: leaves read and written, statements, rows.

And so does publishing; a page of a job's datums costs the page.
"""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_pachy.pfs.content import hash_bytes
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Content, Entry, Layout, Put, Tree, cache, nodes
from airflow_pachy.pfs.tree.codec import decode
from airflow_pachy.pipelines import assemble_job, list_job_datums, list_jobs
from airflow_pachy.worker.plan import DatumResult, ResultWriter, read_plan

CHANGED = 10
# Small leaves below one root, so that a few thousand files have as many leaves as millions really have.
LAYOUT = Layout(leaf_target=32, inner_target=512)


def leaf(repo, glob="/(*).png", **more):
    return {"pfs": {"repo": repo, "glob": glob, **more}}


SHAPES = {
    "glob": leaf("labels", "/*"),
    "directories": leaf("labels", "/*/"),
    "union": {"union": [leaf("images", "/*", name="x"), leaf("labels", "/*", name="y")]},
    "join": {"join": [leaf("images", join_on="$1"), leaf("labels", join_on="$1")]},
    "group": {"group": [leaf("images", group_by="$1"), leaf("labels", group_by="$1")]},
    "cross": {"cross": [leaf("few", "/*"), leaf("labels", "/*")]},
}
# Leaves that a changed file needs: its own in both commits, those of its partner, and of each of its datums where it
# was and would be in the last job, and in the memory. And the datums it has.
LEAVES = {"glob": 5, "directories": 5, "union": 5, "join": 6, "group": 6, "cross": 2 + 3 * 3}
DATUMS = {"cross": 3}
# Roots, the leaf of unfinished datums, and neighbours: where a row goes a leaf may end elsewhere. One leaf more for
# each file is more than this.
BESIDES = CHANGED - 1


class Costs:
    """What the store and the database are asked for from `start` on."""

    def __init__(self):
        self.nodes = Counter()
        self.whole_leaves = self.statements = self.rows = 0

    def start(self):
        cache.shared.clear()
        self.__init__()

    def count_request(self, verb, key):
        if key.startswith("nodes/"):
            self.nodes[verb] += 1

    def count_decoded(self, body, level, key):
        self.whole_leaves += level == 0
        return decode(body, level, key)

    def count_statement(self, connection, cursor, statement, parameters, context, executemany):
        self.statements += 1
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            self.rows += len(parameters) if executemany else 1


@pytest.fixture
def costs(monkeypatch):
    found = Costs()
    monkeypatch.setitem(Tree.__init__.__kwdefaults__, "layout", LAYOUT)
    for verb in ("get", "put"):
        monkeypatch.setattr(MemoryStore, verb, counting(getattr(MemoryStore, verb), verb, found))
    monkeypatch.setattr(nodes, "decode", found.count_decoded)
    event.listen(Engine, "before_cursor_execute", found.count_statement)
    yield found
    event.remove(Engine, "before_cursor_execute", found.count_statement)


def counting(method, verb, costs):
    def counted(self, key, *args, **kwargs):
        costs.count_request(verb, key)
        return method(self, key, *args, **kwargs)

    return counted


def commit(pfs, repo, numbers, version, suffix=".png"):
    started = pfs.start_output_commit(f"{repo}@master")
    head = pfs.inspect_branch(f"{repo}@master").head
    before = pfs.tree(f"{repo}@master") if head else Tree(pfs.store, None)
    body = b"%d" % version
    content = Content(hash_bytes(body), len(body), inline=body)
    tree = before.apply([Put(Entry(f"{number:05d}{suffix}", content)) for number in numbers])
    with pfs.metadata.session() as session:
        pfs.publish_output_commit(session, started, tree, seen_head=head)


def finish(pfs, planned):
    for key in planned.sets:
        one = read_plan(pfs.store, key)
        with ResultWriter(pfs.store, f"{one.results_prefix}/0001") as records:
            for datum in one.datums:
                records.add(DatumResult(datum.id, "success"))
    assemble_job(pfs, planned.job_id)


def plan_again(bench, costs, shape, files):
    """Plan a job, counting, after a commit of ten files far apart to one of two repos with so many files."""
    pfs = bench.pfs
    suffix = "/file" if shape == "directories" else ".png"
    for repo in ("few", "images", "labels"):
        if repo != "images":
            pfs.create_repo(repo)
        pfs.create_branch(f"{repo}@master")
        commit(pfs, repo, range(3 if repo == "few" else files), 1, suffix)
    bench.document |= {"input": SHAPES[shape], "salt": "always the same, and so the places of datums"}
    first = bench.plan()
    finish(pfs, first)
    commit(pfs, "labels", range(5, files, files // CHANGED), 2, suffix)
    costs.start()
    again = bench.plan()
    assert (first.to_run, again.to_run) == (first.total, CHANGED * DATUMS.get(shape, 1))
    return again


@pytest.mark.parametrize("shape", SHAPES)
def test_a_commit_of_ten_files_takes_the_leaves_of_ten_files(bench, costs, shape):
    again = plan_again(bench, costs, shape, 1_000)
    datums = CHANGED * DATUMS.get(shape, 1)
    assert costs.nodes["get"] <= LEAVES[shape] * CHANGED + BESIDES
    # Only those that lose the row of a datum, or get one, are read and written with all their columns.
    assert costs.nodes["put"] <= datums + BESIDES
    assert costs.whole_leaves <= datums + BESIDES
    # A row for each set; and what there is of a job, its inputs, its commit and the pipeline.
    assert costs.rows <= len(again.sets) + 12
    assert costs.statements <= 64
    costs.start()
    finish(bench.pfs, again)
    # Besides the leaves of unfinished datums, where their rows go in the job and in the memory; and what differs
    # between this job and the last one, of which most is at hand.
    assert costs.nodes["get"] <= 3 * datums + BESIDES
    assert costs.nodes["put"] <= 2 * datums + BESIDES
    assert costs.statements <= 48


def test_a_page_of_datums_takes_the_leaf_that_it_is_on(bench, costs):
    plan_again(bench, costs, "join", 600)
    job = next(iter(list_jobs(bench.pfs))).id
    everything = list(list_job_datums(bench.pfs, job))
    assert [one.state for one in everything] == ["pending"] * CHANGED + ["skipped"] * 590
    for place in (0, CHANGED - 2, 300, 595):
        costs.start()
        page = list(list_job_datums(bench.pfs, job, after=everything[place].cursor, limit=4))
        assert page == everything[place + 1 : place + 5]
        # The root, and one leaf or two where the page goes beyond one.
        assert costs.nodes["get"] <= 3
        assert costs.statements <= 8


def test_a_state_that_few_have_is_found_among_many(bench, costs):
    plan_again(bench, costs, "join", 300)
    job = next(iter(list_jobs(bench.pfs))).id
    everything = list(list_job_datums(bench.pfs, job))
    for state in ("pending", "success", "skipped", "failed", "recovered"):
        of_state = [one for one in everything if one.state == state]
        assert list(list_job_datums(bench.pfs, job, state=state)) == of_state
        cursor = of_state[2].cursor if of_state else None
        assert list(list_job_datums(bench.pfs, job, state=state, after=cursor, limit=5)) == of_state[3:8]

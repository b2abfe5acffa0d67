"""Deaths and rivals at every point where planning or assembly touches the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_pachy.errors import Conflict, Corrupt
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.content import ContentReader
from airflow_pachy.pfs.root import Root
from airflow_pachy.pipelines import assemble_job, inspect_job, plan_job
from airflow_pachy.testing.pipelines import InProcessRunner


class Died(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches a kill."""


class WatchedStore:
    """Calls `before_put(number, key)` before each write of the store underneath."""

    def __init__(self, store, before_put):
        self._store = store
        self._before_put = before_put
        self.puts = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def put(self, key, body, *, if_absent=False):
        self._before_put(self.puts, key)
        self.puts += 1
        self._store.put(key, body, if_absent=if_absent)


def watched(pfs, before_put):
    store = WatchedStore(pfs.store, before_put)
    return Pfs(Root(store, pfs.metadata, ContentReader(store)))


def dying_at(pfs, number):
    deaths = []

    def die(puts, key):
        # Once: clients of one database share what happens when a transaction commits, and the others live on.
        if puts == number and not deaths:
            deaths.append(key)
            raise Died(key)

    return watched(pfs, die)


def writes_of(pfs, action):
    client = watched(pfs, lambda puts, key: None)
    action(client)
    return client.store.puts


@pytest.mark.parametrize("rule", ["error", "append"])
def test_an_assembly_killed_anywhere_is_finished_by_the_next(bench, rule):
    bench.document["on_collision"] = rule
    bench.put(a=b"a", b=b"b")
    bench.run()
    bench.pfs.delete_file("images@master:/a")
    for death in range(20):
        bench.put(c=b"c%d" % death)
        plan = bench.plan()
        bench.process(plan)
        head = bench.pfs.inspect_branch("edges@master").head
        try:
            assemble_job(dying_at(bench.pfs, death), plan.job_id)
            break
        except Died:
            assert bench.pfs.inspect_branch("edges@master").head == head
        job = assemble_job(bench.pfs, plan.job_id)
        assert job.output_commit == plan.output_commit
        assert bench.output() == {"/b": b"B", "/c": b"C%d" % death}
    assert death > 3


def test_planning_killed_anywhere_is_finished_by_the_next(bench):
    bench.put(a=b"a")
    bench.run()
    for death in range(20):
        bench.put(c=b"c%d" % death)
        request = bench.request(f"dies {death}")
        try:
            plan_job(dying_at(bench.pfs, death), request)
            break
        except Died:
            plan = plan_job(bench.pfs, request)
        # Before the job is in the database, the next one to plan is the first.
        assert (plan.attempt, plan.to_run) in {(1, 1), (2, 1)}
        bench.process(plan)
        assert assemble_job(bench.pfs, plan.job_id).state == "success"
        assert bench.output() == {"/a": b"A", "/c": b"C%d" % death}
    assert death >= 2


def test_a_job_that_publishes_first_is_built_upon(bench):
    bench.put(a=b"a")
    slow = bench.plan("slow")
    bench.put(b=b"b")
    fast = bench.plan("fast")
    bench.process(slow)
    bench.process(fast)
    rivals = [fast.job_id]

    def overtake(puts, key):
        if key.startswith("commits/") and rivals:
            assemble_job(bench.pfs, rivals.pop())

    job = assemble_job(watched(bench.pfs, overtake), slow.job_id)
    assert not rivals
    commits = [one.id for one in bench.pfs.list_commits("edges@master")]
    assert commits == [job.output_commit, fast.output_commit]
    assert bench.output() == {"/a": b"A"}


def test_a_user_who_writes_first_is_not_overwritten(bench):
    bench.put(a=b"a")
    plan = bench.plan()
    bench.process(plan)
    written = []

    def overtake(puts, key):
        if key.startswith("commits/") and not written:
            written.append(key)
            bench.pfs.put_file("edges@master:/mine", b"mine")

    with pytest.raises(Conflict, match="outside any job"):
        assemble_job(watched(bench.pfs, overtake), plan.job_id)
    assert bench.output() == {"/mine": b"mine"}
    assert inspect_job(bench.pfs, plan.job_id).state == "failed"


def test_a_plan_that_was_overtaken_by_the_next_attempt_does_not_fail_it(bench):
    bench.put(a=b"a")
    request = bench.request("twice")
    plans = []

    def overtake(puts, key):
        if "/plan/" in key and not plans:
            plans.append(plan_job(bench.pfs, request))

    with pytest.raises(Conflict, match="attempt 2"):
        plan_job(watched(bench.pfs, overtake), request)
    (plan,) = plans
    bench.process(plan)
    assert assemble_job(bench.pfs, plan.job_id).state == "success"


def test_planning_that_fails_leaves_no_open_commit(bench):
    bench.put(a=b"a")

    refused = []

    def refuse(puts, key):
        if key.startswith("jobs/") and not refused:
            refused.append(key)
            raise OSError("disk full")

    request = bench.request("broken")
    with pytest.raises(OSError, match="disk full"):
        plan_job(watched(bench.pfs, refuse), request)
    plan = plan_job(bench.pfs, request)
    assert plan.attempt == 2
    assert inspect_job(bench.pfs, plan.job_id).error is None


def test_a_lost_result_record_is_said_to_be_lost(bench):
    bench.put(a=b"a")
    bench.run()
    bench.pfs.store.delete([info.key for info in bench.pfs.store.list_keys("jobs/") if info.key.endswith(".parquet")])
    bench.put(b=b"b")
    bench.pfs.delete_file("images@master:/a")
    plan = bench.plan()
    bench.process(plan)
    with pytest.raises(Corrupt, match="reprocess"):
        assemble_job(bench.pfs, plan.job_id)


def test_results_of_two_pods_for_one_set_enter_once(bench):
    bench.document["on_collision"] = "append"
    bench.put(a=b"a", b=b"b")
    plan = bench.plan()
    for attempt in ("pod-1", "pod-2"):
        InProcessRunner(bench.pfs, lambda inputs: {"all": b"x"}).run(plan, attempt=attempt)
    job = assemble_job(bench.pfs, plan.job_id)
    assert bench.output() == {"/all": b"xx"}
    assert job.datums_processed == 2


def test_another_input_on_a_retry_opens_another_output_commit(bench):
    bench.put(a=b"a")
    old = bench.pfs.inspect_branch("images@master").head
    bench.put(b=b"b")
    first = bench.request("run")
    plan = plan_job(bench.pfs, first)
    pinned = {"pfs": {"repo": "images", "glob": "/*", "commit": old}}
    again = plan_job(bench.pfs, replace(first, spec=bench.spec(input=pinned)))
    assert again.job_id == plan.job_id
    assert again.output_commit != plan.output_commit
    assert bench.pfs.inspect_commit(f"edges@{plan.output_commit}").state == "error"
    assert bench.pfs.inspect_commit(f"edges@{again.output_commit}").provenance == (f"images@{old}",)

"""Whole sets through the local runner: states, retries, outputs, resumption, stopping."""

import secrets
import threading

import pytest

from airflow_pachy.errors import StoreUnavailable
from airflow_pachy.pfs.content import ContentReader, ContentWriter
from airflow_pachy.pfs.objects import MemoryStore
from airflow_pachy.pfs.tree import Entry, NodeRef, Put, Tree, sorted_changes
from airflow_pachy.worker.local import LocalRunner, NamespaceRefused
from airflow_pachy.worker.outcome import ExitCode, WorkerOptions, new_attempt
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan
from airflow_pachy.worker.records import read_set_results
from airflow_pachy.worker.run import run_set
from airflow_pachy.worker.runner import RunnerGone

FILES = {"a.txt": b"alpha", "dir/b": b"b" * 5000, "dir/sub/c.sh": b"#!/bin/sh\n", "empty": b"", "other/d": b"d"}


class BrokenStore(MemoryStore):
    """Refuses writes, or reads, below a prefix."""

    broken_put = broken_get = "-"

    def put(self, key, body, *, if_absent=False):
        if key.startswith(self.broken_put):
            raise StoreUnavailable(f"{key}: the store is away")
        super().put(key, body, if_absent=if_absent)

    def get(self, key, *, offset=0, length=None):
        if key.startswith(self.broken_get):
            raise StoreUnavailable(f"{key}: the store is away")
        return super().get(key, offset=offset, length=length)


@pytest.fixture
def store():
    return BrokenStore()


@pytest.fixture
def tree(store):
    with ContentWriter(store) as writer:
        entries = [Entry(path, writer.write(body), executable=path.endswith(".sh")) for path, body in FILES.items()]
    return str(Tree(store, None).apply(sorted_changes([Put(entry) for entry in entries])).root)


@pytest.fixture
def plan(tree):
    def make(script, *paths, **details):
        inputs = {name: details.pop(name) for name in ("lazy", "empty_files") if name in details}
        datums = tuple(
            DatumPlan(f"{number:032x}", (InputPlan("in", "repo", "master", "c" * 32, tree, path, **inputs),))
            for number, path in enumerate(paths)
        )
        job = secrets.token_hex(4)
        transform = TransformPlan(cmd=("sh", "-euc", script), **details)
        return SetPlan(job, "0", "p", "o" * 32, transform, f"jobs/{job}/0", datums)

    return make


@pytest.fixture
def run(store):
    def run(plan, parallelism=1, log=lambda line: None, **options):
        try:
            with LocalRunner(parallelism, log=log, kill_grace_seconds=0.5) as runner:
                outcome = run_set(store, plan, runner, WorkerOptions(**options))
        except NamespaceRefused as error:
            pytest.skip(str(error))
        results = sorted(read_set_results(store, plan.results_prefix), key=lambda result: result.datum)
        return outcome, results

    return run


def outputs(store, result):
    reader = ContentReader(store)
    return {entry.path: reader.read(entry.content) for entry in result.outputs}


def test_inputs_appear_under_their_full_path_and_outputs_are_recorded(store, plan, run):
    script = 'cp -r /pfs/in /pfs/out/copy; printf "%s %s %s" "$in" "$in_COMMIT" "$PFS_ROOT" > /pfs/out/env'
    outcome, (file, folder, whole) = run(plan(script, "a.txt", "/dir/", "/"))
    assert (outcome.success, outcome.exit_code) == (3, ExitCode.DONE)
    assert outputs(store, file) == {"copy/a.txt": b"alpha", "env": b"/pfs/in/a.txt " + b"c" * 32 + b" /pfs"}
    assert set(outputs(store, folder)) == {"copy/dir/b", "copy/dir/sub/c.sh", "env"}
    assert {path[5:]: body for path, body in outputs(store, whole).items() if path != "env"} == FILES
    assert [entry.path for entry in whole.outputs if entry.executable] == ["copy/dir/sub/c.sh"]


def test_links_to_inputs_move_no_bytes(store, tree, plan, run):
    outcome, (result,) = run(plan("ln -s $in/b /pfs/out/file; ln -s ../in/dir /pfs/out/all", "dir"))
    assert outcome.success == 1
    assert result.upload_bytes == 0
    inputs = Tree(store, NodeRef.parse(tree))
    content = {entry.path: entry.content for entry in result.outputs}
    assert content["file"] == content["all/b"] == inputs.get("dir/b").content
    assert content["all/sub/c.sh"] == inputs.get("dir/sub/c.sh").content


def test_links_inside_out_stand_for_their_files(store, plan, run):
    script = "mkdir /pfs/out/d; echo x > /pfs/out/d/f; ln -s d/f /pfs/out/l; ln -s /pfs/out/d /pfs/out/e"
    _outcome, (result,) = run(plan(script, "a.txt"))
    assert outputs(store, result) == {"d/f": b"x\n", "e/f": b"x\n", "l": b"x\n"}


@pytest.mark.parametrize(
    ("script", "named", "why"),
    [
        ("ln -s /etc/passwd /pfs/out/x", "/pfs/out/x", "not an input"),
        ("ln -s /pfs/in/nothing /pfs/out/x", "/pfs/out/x", "leads nowhere"),
        ("ln -s x /pfs/out/x", "/pfs/out/x", "leads nowhere"),
        ("mkdir /pfs/out/d; ln -s . /pfs/out/d/x", "/pfs/out/d/x", "contains it"),
        ("mkdir /pfs/secret; ln -s /pfs/secret /pfs/out/x", "/pfs/out/x", "not an input"),
        ("echo more >> $in; ln -s $in /pfs/out/x", "/pfs/out/x", "changed after it was staged"),
        ("echo new > /pfs/in/new; ln -s /pfs/in/new /pfs/out/x", "/pfs/out/x", "itself created"),
        ("mkfifo /pfs/out/x", "/pfs/out/x", "named pipe"),
        ("touch \"$(printf '/pfs/out/\\377')\"", "/pfs/out/\\xff", "not UTF-8"),
        ("rmdir /pfs/out; ln -s /etc /pfs/out", "/pfs/out", "not a directory"),
        ("rmdir /pfs/out", "/pfs/out", "not a directory"),
    ],
)
def test_what_cannot_be_an_output_fails_the_datum_by_name(plan, run, script, named, why):
    outcome, (result,) = run(plan(script, "a.txt"))
    assert (outcome.failed, outcome.exit_code) == (1, ExitCode.DATUMS_FAILED)
    assert result.state == "failed"
    assert named in result.reason
    assert why in result.reason
    assert result.outputs == ()


def test_unreadable_outputs_are_read_all_the_same(store, plan, run):
    script = "mkdir /pfs/out/d; echo x > /pfs/out/d/f; chmod 000 /pfs/out/d/f /pfs/out/d"
    _outcome, (result,) = run(plan(script, "a.txt"))
    assert outputs(store, result) == {"d/f": b"x\n"}


def test_a_failed_try_is_repeated_on_fresh_inputs_and_an_empty_out(store, plan, run, tmp_path):
    seen = tmp_path / "seen"
    script = f"cat $in >> {seen}; echo junk >> $in; size=$(wc -c < {seen}); touch /pfs/out/$size; test $size = 15"
    outcome, (result,) = run(plan(script, "a.txt", datum_tries=5))
    assert (outcome.success, result.tries) == (1, 3)
    assert list(outputs(store, result)) == ["15"]
    assert (tmp_path / "seen").read_bytes() == b"alpha" * 3


def test_tries_end_and_the_record_says_why(plan, run):
    outcome, (bad, good) = run(
        plan("echo trouble; test $in = /pfs/in/empty || exit 9", "a.txt", "empty", datum_tries=2)
    )
    assert (outcome.success, outcome.failed, outcome.exit_code) == (1, 1, ExitCode.DATUMS_FAILED)
    assert (bad.state, bad.tries, bad.exit_code, bad.log_tail) == ("failed", 2, 9, "trouble\n")
    assert "exit code 9" in bad.reason
    assert (good.state, good.tries, good.log_tail) == ("success", 1, "")


def test_err_cmd_recovers_a_datum_without_output(plan, run):
    script = "touch /pfs/out/x; exit 1"
    err = {"err_cmd": ("sh", "-c", 'read line; test "$line" = ok'), "datum_tries": 1}
    outcome, (result,) = run(plan(script, "a.txt", err_stdin=("ok",), **err))
    assert (outcome.recovered, outcome.exit_code) == (1, ExitCode.DONE)
    assert (result.state, result.exit_code, result.outputs) == ("recovered", 1, ())
    outcome, (result,) = run(plan(script, "a.txt", err_stdin=("no",), **err))
    assert (outcome.failed, result.state) == (1, "failed")


def test_accepted_exit_codes_are_success(plan, run):
    outcome, (result,) = run(plan("exit 5", "a.txt", accept_return_codes=(4, 5)))
    assert (outcome.success, result.exit_code) == (1, 5)


def test_a_datum_timeout(plan, run):
    outcome, (result,) = run(plan("sleep 60", "a.txt", datum_timeout_seconds=0.2, datum_tries=2))
    assert (outcome.failed, result.tries) == (1, 2)
    assert "datum_timeout (0.2 s)" in result.reason


def test_lazy_files_are_filled_when_opened_each_time(store, plan, run):
    script = (
        "test -p /pfs/in/dir/b; cat /pfs/in/dir/b /pfs/in/dir/b > /pfs/out/x; "
        "head -c1 /pfs/in/a.txt; ln -s /pfs/in/a.txt /pfs/out/l"
    )
    outcome, (result,) = run(plan(script, "/", lazy=True, datum_timeout_seconds=20))
    assert outcome.success == 1, result.reason
    assert outputs(store, result) == {"x": b"b" * 10_000, "l": b"alpha"}
    assert result.download_bytes == 0


def test_empty_files_have_no_content_but_links_to_them_do(store, plan, run):
    outcome, (result,) = run(plan("wc -c < $in > /pfs/out/n; ln -s $in /pfs/out/l", "a.txt", empty_files=True))
    assert outcome.success == 1, result.reason
    assert outputs(store, result) == {"n": b"0\n", "l": b"alpha"}


def test_a_datum_larger_than_the_budget_is_refused_with_the_numbers(plan, run):
    outcome, (result, small) = run(plan("true", "dir", "a.txt"), stage_budget_bytes=1000)
    assert (outcome.success, outcome.failed) == (1, 1)
    assert "5,010 bytes" in result.reason
    assert "1,000 bytes" in result.reason
    assert small.state == "success"


def test_parallel_slots_give_the_same_results(store, plan, run):
    many = plan("cp $in /pfs/out/; ln -s $in /pfs/out/l", *["a.txt", "dir/b", "other/d"] * 8)
    _outcome, here = run(many)
    _outcome, there = run(SetPlan(**{n: getattr(many, n) for n in many.__slots__} | {"results_prefix": "jobs/x/1"}), 4)
    assert [(r.datum, r.state, outputs(store, r)) for r in here] == [
        (r.datum, r.state, outputs(store, r)) for r in there
    ]


def test_what_is_recorded_is_not_run_again(plan, run, tmp_path):
    script = f"echo x >> {tmp_path}/ran; test -e {tmp_path}/ok || test $in = /pfs/in/a.txt"
    the_plan = plan(script, "a.txt", "empty", datum_tries=1)
    first, _results = run(the_plan)
    (tmp_path / "ok").touch()
    second, results = run(the_plan, attempt=new_attempt(2))
    assert (first.success, first.failed) == (1, 1)
    assert (second.success, second.skipped, second.exit_code) == (1, 1, ExitCode.DONE)
    assert len((tmp_path / "ran").read_text().split()) == 3
    assert sorted((r.datum[-1], r.state) for r in results) == [("0", "success"), ("1", "failed"), ("1", "success")]


def test_stop_keeps_what_was_finished(plan, run, tmp_path):
    stop = threading.Event()
    script = (
        f"test $in != /pfs/in/a.txt || exec touch {tmp_path}/first; "
        f"until test -e {tmp_path}/first; do sleep 0.02; done; echo waiting; sleep 60"
    )

    def log(line):
        if "waiting" in line:
            stop.set()

    outcome, results = run(plan(script, "a.txt", "empty", "dir"), 3, log, stop=stop)
    assert (outcome.success, outcome.failed, outcome.exit_code) == (1, 0, ExitCode.STOPPED)
    assert [result.state for result in results] == ["success"]


def test_a_store_that_is_away_while_staging_ends_the_set(store, plan, run):
    the_plan = plan("true", "dir")
    store.broken_get = "packs/"
    outcome, _results = run(the_plan)
    assert (outcome.exit_code, outcome.failed) == (ExitCode.STAGING_FAILED, 0)
    assert "the store is away" in outcome.error


def test_a_store_that_is_away_while_uploading_records_nothing(store, plan, run):
    the_plan = plan("head -c 5000 /dev/urandom > /pfs/out/x", "a.txt")
    store.broken_put = "packs/"
    outcome, results = run(the_plan)
    assert outcome.exit_code == ExitCode.UPLOAD_FAILED
    assert results == []


def test_a_reserved_input_name_is_refused(store, tree, plan, run):
    the_plan = plan("true", "a.txt")
    datum = DatumPlan("d", (InputPlan("out", "r", "b", "c", tree, "a.txt"),))
    outcome, (result,) = run(SetPlan(**{n: getattr(the_plan, n) for n in the_plan.__slots__} | {"datums": (datum,)}))
    assert outcome.failed == 1
    assert "'out'" in result.reason


def test_a_runner_serves_one_set_after_the_other(store, plan):
    with LocalRunner(2) as runner:
        for _ in range(2):
            outcome = run_set(store, plan("cp /pfs/in/* /pfs/out/", "a.txt", "empty"), runner)
            assert (outcome.success, outcome.exit_code) == (2, ExitCode.DONE)


def test_a_runner_that_was_stopped_before_does_nothing_and_says_so(store, plan):
    with LocalRunner() as runner:
        runner.stop()
        outcome = run_set(store, plan("true", "a.txt", "empty"), runner)
    assert (outcome.success, outcome.exit_code) == (0, ExitCode.STOPPED)
    assert "2 of 2 datums were not run" in outcome.error


def test_a_runner_that_was_closed_before_is_refused_and_leaves_nothing(store, plan, tmp_path):
    with LocalRunner(scratch=tmp_path) as runner:
        pass
    with pytest.raises(RunnerGone, match="closed before"):
        run_set(store, plan("true", "a.txt", "empty"), runner)
    assert list(tmp_path.iterdir()) == []

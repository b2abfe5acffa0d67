"""Waiting for everything that is made from a commit."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from airflow_pachy.errors import CommitNotFound, InvalidArgument, JobFailed, RepoNotFound
from airflow_pachy.metadata.models import Job, JobInput, Pipeline
from airflow_pachy.pfs import Trigger
from airflow_pachy.pfs.heads import utc_now


def wire(pfs, **upstream):
    """Make repos, and branches `master` that derive from each other."""
    for name, above in upstream.items():
        pfs.create_repo(name)
        pfs.create_branch(f"{name}@master", provenance=[f"{one}@master" for one in above])


def put(pfs, repo, branch="master"):
    pfs.put_file(f"{repo}@{branch}:/x", repo.encode())
    return pfs.inspect_branch(f"{repo}@{branch}").head


def publish(pfs, repo, *provenance):
    """What a job does: a commit made from these ones."""
    commit = pfs.start_output_commit(f"{repo}@master", provenance=provenance)
    seen = pfs.inspect_branch(f"{repo}@master").head
    upstream = pfs.inspect_commit(provenance[0])
    with pfs.metadata.session() as session:
        pfs.publish_output_commit(session, commit, pfs.tree(upstream), seen_head=seen)
    return commit


def job(pfs, repo, state, commit, number=0, error="datum /a failed"):
    with pfs.metadata.session() as session:
        session.add(
            Job(
                id=f"{number:032x}", pipeline=repo, dag_id="d", run_id=str(number), stage=repo, output_repo=repo,
                output_branch="master", state=state, error=error, started=utc_now() + timedelta(seconds=number),
                inputs=[JobInput(position=0, name="a", repo="a", branch="master", commit=commit)],
            )
        )  # fmt: skip


def flushed(pfs, *commits, **options):
    return [str(info) for info in pfs.flush_commit(list(commits), timeout=0, **options)]


def test_nothing_downstream_is_nothing_to_wait_for(pfs):
    wire(pfs, a=[])
    assert flushed(pfs, f"a@{put(pfs, 'a')}") == []


def test_a_chain_answers_with_a_commit_of_each_branch(pfs):
    wire(pfs, a=[], b=["a"], c=["b"], d=["c"])
    a = put(pfs, "a")
    with pytest.raises(TimeoutError, match="b@master, c@master, d@master"):
        flushed(pfs, a)
    b = publish(pfs, "b", a)
    c = publish(pfs, "c", b)
    with pytest.raises(TimeoutError, match="on d@master yet"):
        flushed(pfs, a)
    d = publish(pfs, "d", c)
    assert flushed(pfs, a) == [f"b@{b}", f"c@{c}", f"d@{d}"]
    assert flushed(pfs, a, a, "a@master") == [f"b@{b}", f"c@{c}", f"d@{d}"]
    assert flushed(pfs, a, to_repos=["c"]) == [f"c@{c}"]
    assert flushed(pfs, b) == [f"c@{c}", f"d@{d}"]
    assert flushed(pfs, d) == []


def test_of_two_inputs_only_what_both_led_to_counts(pfs):
    wire(pfs, a=[], b=[], c=["a", "b"], other=["a"])
    a, b = put(pfs, "a"), put(pfs, "b")
    c = publish(pfs, "c", a, b)
    assert flushed(pfs, a, b) == [f"c@{c}"]
    newer = put(pfs, "b")
    with pytest.raises(TimeoutError):
        flushed(pfs, a, newer)
    both = publish(pfs, "c", a, newer)
    assert flushed(pfs, a, newer) == [f"c@{both}"]


def test_what_a_pipeline_that_never_ran_will_make_is_waited_for_when_it_is_expected(pfs):
    wire(pfs, a=[])
    a = put(pfs, "a")
    with pytest.raises(TimeoutError, match="c@master yet"):
        flushed(pfs, f"a@{a}", expect=["c"])
    wire(pfs, b=["a"], c=["b"])
    with pytest.raises(TimeoutError, match="b@master, c@draft, c@master yet"):
        flushed(pfs, f"a@{a}", expect=["c", "c@draft"])
    b = publish(pfs, "b", f"a@{a}")
    c = publish(pfs, "c", f"b@{b}")
    assert flushed(pfs, f"a@{a}", expect=["c"]) == [f"b@{b}", f"c@{c}"]
    assert flushed(pfs, f"a@{a}", expect=["c"], to_repos=["b"]) == [f"b@{b}", f"c@{c}"]


def test_a_failure_on_a_way_that_is_not_known_to_the_end_is_told(pfs):
    wire(pfs, a=[], b=["a"])
    a = put(pfs, "a")
    job(pfs, "b", "failed", a)
    with pytest.raises(JobFailed, match="datum /a failed"):
        flushed(pfs, f"a@{a}", expect=["c"], to_repos=["a"])


def test_a_diamond_is_flushed_once(pfs):
    wire(pfs, a=[], b=["a"], c=["a"], d=["b", "c"])
    a = put(pfs, "a")
    b, c = publish(pfs, "b", a), publish(pfs, "c", a)
    d = publish(pfs, "d", b, c)
    assert flushed(pfs, a) == [f"b@{b}", f"c@{c}", f"d@{d}"]


def test_a_run_that_took_the_newest_answers_for_those_before(pfs):
    wire(pfs, a=[], b=["a"], c=["b"])
    first, second = put(pfs, "a"), put(pfs, "a")
    b = publish(pfs, "b", second)
    c = publish(pfs, "c", b)
    assert flushed(pfs, first) == flushed(pfs, second) == [f"b@{b}", f"c@{c}"]
    third = put(pfs, "a")
    with pytest.raises(TimeoutError):
        flushed(pfs, third)


def test_the_commit_made_from_the_given_one_is_preferred_to_later_ones(pfs):
    wire(pfs, a=[], b=["a"])
    made = []
    for _ in range(3):
        a = put(pfs, "a")
        made.append((a, publish(pfs, "b", a)))
    assert [flushed(pfs, a) for a, _ in made] == [[f"b@{b}"] for _, b in made]


def test_what_was_made_before_a_rollback_does_not_answer_for_what_was_rolled_back(pfs):
    wire(pfs, a=[], b=["a"])
    old = put(pfs, "a")
    publish(pfs, "b", old)
    bad = put(pfs, "a")
    pfs.create_branch("a@master", head=f"a@{old}")
    with pytest.raises(TimeoutError):
        flushed(pfs, bad)
    again = publish(pfs, "b", old)
    assert flushed(pfs, bad) == [f"b@{again}"]


def test_a_deferred_commit_is_waited_for_once_its_branch_moved(pfs):
    wire(pfs, a=[], b=["a"])
    staged = put(pfs, "a", "staging")
    assert flushed(pfs, staged) == []
    pfs.create_branch("a@master", head=f"a@{staged}")
    with pytest.raises(TimeoutError):
        flushed(pfs, staged)
    b = publish(pfs, "b", staged)
    assert flushed(pfs, staged) == [f"b@{b}"]


def test_a_trigger_brings_a_commit_to_what_reads_its_follower(pfs):
    wire(pfs, a=[], b=["a"])
    pfs.create_branch("a@master", trigger=Trigger("staging", commits=2))
    first = put(pfs, "a", "staging")
    assert flushed(pfs, first) == []
    second = put(pfs, "a", "staging")
    b = publish(pfs, "b", second)
    assert flushed(pfs, second) == [f"b@{b}"]


def test_a_failed_job_ends_the_wait_and_is_named(pfs):
    wire(pfs, a=[], b=["a"], c=["b"])
    a = put(pfs, "a")
    job(pfs, "b", "failed", a)
    for options in ({}, {"to_repos": ["c"]}):
        with pytest.raises(JobFailed, match=rf"job {0:032x} of pipeline 'b'.*datum /a failed"):
            flushed(pfs, a, **options)
    job(pfs, "b", "running", a, 1)
    with pytest.raises(TimeoutError):
        flushed(pfs, a)
    b = publish(pfs, "b", a)
    job(pfs, "c", "stopped", b, 2)
    with pytest.raises(JobFailed, match=r"'c'.*was stopped"):
        flushed(pfs, a)
    assert flushed(pfs, a, to_repos=["b"]) == [f"b@{b}"]


def test_the_failure_of_a_job_on_other_data_does_not_matter(pfs):
    wire(pfs, a=[], b=["a"], other=["a"])
    old = put(pfs, "a")
    job(pfs, "b", "failed", old)
    new = put(pfs, "a")
    with pytest.raises(TimeoutError):
        flushed(pfs, new)
    job(pfs, "other", "failed", new, 1)
    with pytest.raises(TimeoutError):
        flushed(pfs, new, to_repos=["b"])


def test_a_pipeline_that_is_stopped_is_not_waited_for(pfs):
    wire(pfs, a=[], b=["a"], c=["b"])
    with pfs.metadata.session() as session:
        session.add(
            Pipeline(
                name="b", salt="s", spec={}, output_repo="b", output_branch="master", state="stopped",
                created=utc_now(), updated=utc_now(),
            )
        )  # fmt: skip
    assert flushed(pfs, put(pfs, "a")) == []


def test_an_open_commit_is_waited_for(pfs):
    wire(pfs, a=[], b=["a"])
    commit = pfs.start_commit("a@master")
    with pytest.raises(TimeoutError, match="still open"):
        flushed(pfs, str(commit))
    made = []

    def work():
        pfs.finish_commit(commit)
        made.append(publish(pfs, "b", commit.id))

    worker = threading.Timer(0.05, work)
    worker.start()
    assert [info.id for info in pfs.flush_commit([commit], timeout=60)] == made
    worker.join()


def test_a_commit_with_an_error_leads_to_nothing(pfs):
    wire(pfs, a=[], b=["a"])
    commit = pfs.start_commit("a@master")
    pfs.finish_commit(commit, error="bad sensor")
    with pytest.raises(JobFailed, match="bad sensor"):
        flushed(pfs, str(commit))


def test_what_cannot_be_flushed_is_refused(pfs):
    wire(pfs, a=[])
    a = put(pfs, "a")
    with pytest.raises(InvalidArgument, match="at least one"):
        flushed(pfs)
    with pytest.raises(CommitNotFound):
        flushed(pfs, "a@" + "0" * 32)
    with pytest.raises(RepoNotFound):
        flushed(pfs, a, to_repos=["nowhere"])

"""Whose turn it is: every commit of the inputs gets one job, in order, and no job reads a mixture."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_pachy.errors import CommitNotFound, JobFailed, NothingNew
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, fail_job, inspect_job, plan_job
from airflow_pachy.testing.pipelines import CodeFailed, InProcessRunner


def joined(inputs):
    return {"all": b"".join(content for files in inputs.values() for _, content in sorted(files.items()))}


def copied(inputs):
    return {path: content for files in inputs.values() for path, content in files.items()}


class Line:
    """Pipelines by name, run in order; `run` is a run that data has started."""

    def __init__(self, pfs):
        self.pfs = pfs
        self.specs = {}
        self.runs = 0

    def pipeline(self, name, *inputs, code=joined, **fields):
        """Inputs are repo names; several are crossed. Each is one datum."""
        leaves = [{"pfs": {"repo": repo, "glob": "/"}} for repo in inputs]
        document = {
            "pipeline": {"name": name},
            "transform": {"image": "i", "cmd": ["c"]},
            "input": leaves[0] if len(leaves) == 1 else {"cross": leaves},
        }
        self.specs[name] = (PipelineSpec.from_dict({**document, **fields}), code)

    def run(self, name, *, dag=None, run=None, **options):
        spec, code = self.specs[name]
        self.runs += 1
        request = JobRequest(
            spec, dag or name, run or f"run{self.runs}", name, **{"latest": False, "new_only": True, **options}
        )
        plan = plan_job(self.pfs, request)
        InProcessRunner(self.pfs, code).run(plan)
        assemble_job(self.pfs, plan.job_id)
        return plan

    def drain(self, name):
        """Run until nothing is new; how many jobs that took."""
        for count in range(100):
            try:
                self.run(name)
            except NothingNew:
                return count
        raise AssertionError("never done")

    def read(self, plan):
        return {one.repo: one.commit for one in inspect_job(self.pfs, plan.job_id).inputs}

    def put(self, repo, content):
        self.pfs.put_file(f"{repo}@master:/f", content)
        return self.pfs.inspect_branch(f"{repo}@master").head

    def history(self, repo):
        commits = self.pfs.list_commits(f"{repo}@master", reverse=True)
        return [self.pfs.get_file(f"{repo}@{one.id}:/all").decode() for one in commits]


@pytest.fixture
def line(pfs):
    pfs.create_repo("labels")
    return Line(pfs)


def test_five_commits_and_one_event_are_five_jobs_in_order(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    for content in "12345":
        line.put("images", content)
    plan = line.run("count")
    assert plan.more
    assert line.drain("count") == 4
    assert line.history("count") == ["0", "1", "2", "3", "4", "5"]


def test_the_last_job_says_that_no_more_is_waiting(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    assert not line.run("count").more
    line.put("images", "1")
    line.put("images", "2")
    assert line.run("count").more
    assert not line.run("count").more


def test_a_new_pipeline_starts_with_the_newest_commit(line):
    for content in "012":
        line.put("images", content)
    line.pipeline("count", "images")
    assert line.drain("count") == 1
    assert line.history("count") == ["2"]


def test_a_new_pipeline_may_begin_at_the_first_commit(line):
    for content in "012":
        line.put("images", content)
    line.pipeline("count", "images")
    assert line.run("count", from_start=True).more
    assert line.drain("count") == 2
    assert line.history("count") == ["0", "1", "2"]


def test_without_new_commits_the_job_reads_the_last_ones_again_or_is_left_out(line):
    line.pipeline("count", "images")
    commit = line.put("images", "0")
    line.run("count")
    with pytest.raises(NothingNew, match="no input has a commit that this pipeline has not read"):
        line.run("count")
    assert line.read(line.run("count", new_only=False)) == {"images": commit}


def test_a_failed_job_does_not_keep_the_next_commit_waiting(line):
    def failing(inputs):
        if inputs["images"]["f"] == b"1":
            raise CodeFailed("no")
        return joined(inputs)

    line.pipeline("count", "images", code=failing)
    for content in "012":
        line.put("images", content)
        if content == "0":
            line.run("count")
    with pytest.raises(JobFailed):
        line.run("count")
    line.run("count")
    assert line.history("count") == ["0", "2"]


def test_trying_a_run_again_reads_the_same_commit_and_still_says_that_more_wait(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    second = line.put("images", "1")
    line.put("images", "2")
    spec, _ = line.specs["count"]
    request = JobRequest(spec, "count", "again", "count", latest=False)
    first = plan_job(line.pfs, request)
    again = plan_job(line.pfs, request)
    assert again.job_id == first.job_id
    assert again.more
    assert line.read(again) == {"images": second}


def test_two_inputs_take_turns_in_the_order_of_their_commits(line):
    line.pipeline("both", "images", "labels")
    line.put("images", "i0")
    line.put("labels", "l0")
    line.run("both")
    line.put("labels", "l1")
    line.put("images", "i1")
    line.put("labels", "l2")
    assert line.drain("both") == 3
    assert line.history("both") == ["i0l0", "i0l1", "i1l1", "i1l2"]


def test_an_input_that_triggers_nothing_is_read_as_it_is(line):
    leaves = [{"pfs": {"repo": "images", "glob": "/"}}, {"pfs": {"repo": "labels", "glob": "/", "trigger": False}}]
    line.pipeline("both", "images", "labels", input={"cross": leaves})
    line.put("images", "i0")
    line.put("labels", "l0")
    line.run("both")
    line.put("labels", "l1")
    assert line.drain("both") == 0
    line.put("images", "i1")
    assert line.drain("both") == 1
    assert line.history("both") == ["i0l0", "i1l1"]


def test_an_input_without_a_commit_is_named(line):
    line.pipeline("both", "images", "labels")
    line.put("images", "i0")
    line.pfs.create_branch("labels@master")
    with pytest.raises(CommitNotFound, match="labels@master, which has no commit yet"):
        line.run("both")


def test_a_newest_run_jumps_over_what_waited(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    for content in "123":
        line.put("images", content)
    line.run("count", latest=True)
    assert line.drain("count") == 0
    assert line.history("count") == ["0", "3"]


def test_chosen_commits_are_read_and_leave_the_queue_as_it_was(line):
    line.pipeline("count", "images")
    first = line.put("images", "0")
    line.run("count")
    second = line.put("images", "1")
    plan = line.run("count", commits={"images@master": first})
    assert line.read(plan) == {"images": first}
    assert line.read(line.run("count")) == {"images": second}


def test_a_commit_chosen_of_a_branch_that_the_run_itself_writes_is_read_by_all_of_its_stages(line):
    line.pipeline("model", "images")
    line.pipeline("predict", "labels", "model")
    line.pipeline("report", "model")
    line.put("labels", "l")
    line.put("images", "0")
    line.run("model")
    old = line.pfs.inspect_branch("model@master").head
    line.put("images", "1")
    chosen = {"commits": {"model@master": old.split("@")[-1]}, "new_only": False, "latest": True}
    line.run("model", dag="d", run="by hand", **chosen)
    for stage in ("predict", "report"):
        assert line.read(line.run(stage, dag="d", run="by hand", **chosen))["model"] == old.split("@")[-1]


def test_forgotten_commits_are_passed_over(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    forgotten = line.put("images", "1")
    line.put("images", "2")
    line.pfs.forget_commit(f"images@{forgotten}")
    assert line.drain("count") == 1
    assert line.history("count") == ["0", "2"]


def test_removed_commits_are_passed_over(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    removed = line.put("images", "1")
    line.put("images", "2")
    line.pfs.squash_commit(f"images@{removed}")
    assert line.drain("count") == 1
    assert line.history("count") == ["0", "2"]


def test_a_branch_pointed_back_is_a_turn_of_its_own(line):
    line.pipeline("count", "images")
    first = line.put("images", "0")
    line.run("count")
    line.put("images", "1")
    line.pfs.create_branch("images@master", head=f"images@{first}")
    assert line.drain("count") == 2
    assert line.history("count") == ["0", "1", "0"]


def test_deferred_processing_runs_when_the_branch_that_is_read_is_moved(line):
    line.pipeline("count", "images")
    line.put("images", "0")
    line.run("count")
    line.pfs.create_branch("images@staging", head="images@master")
    for content in "12":
        line.pfs.put_file("images@staging:/f", content)
    assert line.drain("count") == 0
    line.pfs.create_branch("images@master", head="images@staging")
    assert line.drain("count") == 1
    line.pfs.put_file("images@staging:/f", "3")
    assert line.drain("count") == 0
    line.pfs.create_branch("images@master", head="images@staging")
    assert line.drain("count") == 1
    assert line.history("count") == ["0", "2", "3"]
    behind = {one.id for one in line.pfs.provenance("count@master")}
    assert line.pfs.inspect_branch("images@staging").head in behind


def test_a_repo_made_again_starts_its_queue_anew(line):
    line.pipeline("count", "images")
    for content in "012":
        line.put("images", content)
    line.run("count")
    line.pfs.delete_repo("images", force=True)
    line.pfs.create_repo("images")
    line.put("images", "n")
    assert line.drain("count") == 1
    assert line.history("count")[-1] == "n"


class TestDiamond:
    """images -> left, right -> ends; and ends also reads what its inputs are computed from."""

    def test_a_commit_comes_with_what_was_computed_from_it(self, line):
        line.pipeline("edges", "images")
        line.pipeline("montage", "images", "edges")
        line.put("images", "a")
        line.run("edges")
        line.run("montage")
        line.put("images", "b")
        with pytest.raises(NothingNew):
            line.run("montage")
        line.put("images", "c")
        assert line.drain("edges") == 2
        assert line.drain("montage") == 2
        assert line.history("montage") == ["aa", "bb", "cc"]

    def test_two_arms_meet_on_the_same_version(self, line):
        line.pipeline("left", "images")
        line.pipeline("right", "images")
        line.pipeline("ends", "left", "right")
        line.put("images", "a")
        for name in ("left", "right", "ends"):
            line.run(name)
        line.put("images", "b")
        line.put("images", "c")
        assert line.drain("left") == 2
        with pytest.raises(NothingNew, match="waits for right@master, which has not processed images@master"):
            line.run("ends")
        line.run("right")
        assert line.drain("ends") == 1
        line.run("right")
        assert line.drain("ends") == 1
        assert line.history("ends") == ["aa", "bb", "cc"]

    def test_a_version_that_failed_in_one_arm_is_left_out(self, line):
        def failing(inputs):
            if inputs["images"]["f"] == b"b":
                raise CodeFailed("no")
            return joined(inputs)

        line.pipeline("left", "images")
        line.pipeline("right", "images", code=failing)
        line.pipeline("ends", "left", "right")
        line.put("images", "a")
        for name in ("left", "right", "ends"):
            line.run(name)
        for content in "bc":
            line.put("images", content)
        line.drain("left")
        with pytest.raises(JobFailed):
            line.run("right")
        line.run("right")
        assert line.drain("ends") == 1
        assert line.history("ends") == ["aa", "cc"]

    def test_an_arm_that_jumped_ahead_leaves_out_what_it_jumped_over(self, line):
        line.pipeline("left", "images")
        line.pipeline("right", "images")
        line.pipeline("ends", "left", "right")
        line.put("images", "a")
        for name in ("left", "right", "ends"):
            line.run(name)
        for content in "bc":
            line.put("images", content)
        line.drain("left")
        line.run("right", latest=True)
        assert line.drain("ends") == 1
        assert line.history("ends") == ["aa", "cc"]


def test_a_stopped_job_of_an_arm_does_not_block_for_ever(line):
    line.pipeline("left", "images")
    line.pipeline("right", "images")
    line.pipeline("ends", "left", "right")
    line.put("images", "a")
    for name in ("left", "right", "ends"):
        line.run(name)
    line.put("images", "b")
    line.run("left")
    spec, _ = line.specs["right"]
    plan = plan_job(line.pfs, JobRequest(spec, "right", "dies", "right", latest=False))
    fail_job(line.pfs, plan.job_id, "stopped in a test")
    with pytest.raises(NothingNew, match="no input has a commit"):
        line.run("ends")
    line.put("images", "c")
    line.run("left")
    line.run("right")
    assert line.drain("ends") == 1
    assert line.history("ends") == ["aa", "cc"]


def test_newest_commits_that_were_read_are_not_new(line):
    line.pipeline("count", "images", "labels")
    line.put("images", b"1")
    line.put("labels", b"a")
    newest = {"latest": True, "new_only": True}
    line.run("count", **newest)
    with pytest.raises(NothingNew, match="no input has a commit that this pipeline has not read"):
        line.run("count", **newest)
    line.put("labels", b"b")
    line.put("labels", b"c")
    line.run("count", **newest)
    assert line.history("count") == ["1a", "1c"]
    line.pfs.create_branch("labels@master", head="labels@master^")
    line.run("count", **newest)
    assert line.history("count")[-1] == "1b", "a branch that was moved back has something new"


def test_an_input_that_starts_nothing_brings_nothing_new(line):
    quiet = {"pfs": {"repo": "labels", "glob": "/", "trigger": False}}
    line.pipeline("count", "images", input={"cross": [{"pfs": {"repo": "images", "glob": "/"}}, quiet]})
    line.put("images", b"1")
    line.put("labels", b"a")
    line.run("count", latest=True)
    line.put("labels", b"b")
    with pytest.raises(NothingNew):
        line.run("count", latest=True)


def test_what_another_stage_of_the_run_has_read_may_be_old_news_to_this_one(line):
    line.pipeline("count", "images")
    line.pipeline("sizes", "images")
    line.put("images", b"1")
    line.run("count", dag="d", run="one", latest=True)
    line.run("sizes", dag="d", run="other", latest=True)
    with pytest.raises(NothingNew):
        line.run("sizes", dag="d", run="one", latest=True)


def test_a_date_in_the_past_is_read_again(line):
    line.pipeline("count", "images")
    line.put("images", b"1")
    then = datetime.now(UTC)
    line.put("images", b"2")
    line.run("count", latest=True)
    line.run("count", latest=True, as_of=then)
    line.run("count", latest=True, as_of=then)
    assert line.history("count") == ["2", "1", "1"]


def test_commits_chosen_by_hand_are_read_again(line):
    line.pipeline("count", "images")
    commit = line.put("images", b"1")
    line.run("count")
    line.run("count", latest=True, commits={"images@master": commit})
    assert line.history("count") == ["1", "1"]

"""Planning from what changed in the inputs finds what a listing of all datums finds, whatever was committed."""

import itertools
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import JobRequest, PipelineSpec, assemble_job, datums_changes, plan, plan_job
from airflow_pachy.pipelines.datums_table import Leaves
from airflow_pachy.testing.pipelines import CodeRecovered, InProcessRunner

NAMES = itertools.count()
FEW = settings(max_examples=5)
GONE = ["path", "inline"]  # what is asked of datums that vanished; a listing reads no more of them


def leaf(repo="a", glob="/*", **more):
    return {"pfs": {"repo": repo, "glob": glob, **more}}


INPUTS = {
    "files": leaf(),
    "files of directories": leaf(glob="/*/*"),
    "everything": leaf(glob="/"),
    "one path": leaf(glob="/x"),
    "any depth": leaf(glob="/**"),
    "union": {"union": [leaf(), leaf("b")]},
    "union that overlaps": {"union": [leaf(glob="/[xy]"), leaf(), leaf("b", name="a")]},
    "cross": {"cross": [leaf(), leaf("b")]},
    "cross of a union": {"cross": [{"union": [leaf(), leaf(glob="/x")]}, leaf("b")]},
    "union of crosses": {"union": [{"cross": [leaf(), leaf("b")]}, leaf("b", glob="/*/*")]},
    "cross of three": {"cross": [leaf(), leaf("b"), leaf("a", glob="/x", name="again")]},
    "outer join": {"join": [leaf(glob="/(?)*", join_on="$1", outer_join=True), leaf("b", glob="/*(?)", join_on="$1")]},
    "group": {"group": [leaf(glob="/(?)*", group_by="$1"), leaf("b", glob="/**(?)", group_by="$1")]},
}
CAN_TELL = {"files", "files of directories", "everything", "one path", "any depth", "union", "cross", "cross of three"}
CAN_TELL |= {"outer join", "group"}

paths = st.sampled_from(["x", "y", "z", "d/x", "d/y", "d/e/x", "x.1", "w"])
commits = st.lists(
    st.tuples(st.sampled_from("ab"), st.dictionaries(paths, st.sampled_from(["", "1", "2", None]), min_size=1)),
    min_size=1,
    max_size=4,
)


class Checked:
    """Stands for `list_changes`; compares its answer with that of a listing."""

    def __init__(self):
        self.answers = []

    def __call__(self, node, versions, identity, leaves, base):
        told = datums_changes.list_changes(node, versions, identity, leaves, base)
        self.answers.append(told is not None)
        if told is not None:
            others = Leaves()
            listed = datums_changes.list_all(node, versions[0], identity, others, base)
            assert told.added["id"].to_pylist() == listed.added["id"].to_pylist()
            assert told.vanished.select(GONE).equals(listed.vanished.select(GONE))
            assert told.total == listed.total
            assert described(told, leaves) == described(listed, others)
        return told


def described(difference, leaves):
    inputs = difference.added["inputs"].to_pylist()
    return [[(leaves.keys[one["leaf"]].name, one["path"], one["hash"], one["size"]) for one in row] for row in inputs]


def commit(pfs, repo, files):
    """Write files, and remove those with None; a path that is a directory already stays one."""
    with pfs.commit(f"{repo}@master") as writer:
        for path, content in files.items():
            if content is None:
                writer.delete_file(f"/{path}")
            else:
                writer.put_file(f"/{path}", content.encode())


def run(pfs, document, number, code):
    planned = plan_job(pfs, JobRequest(PipelineSpec.from_dict(document), "dag", f"run{number}", "stage", latest=True))
    InProcessRunner(pfs, code).run(planned)
    return assemble_job(pfs, planned.job_id)


def name_of(inputs):
    return {f"{'-'.join(sorted(inputs))}/{hash(repr(sorted(inputs.items())))}": b""}


@pytest.mark.parametrize("kind", INPUTS)
@FEW
@given(history=commits)
def test_changes_tell_what_a_listing_tells(kind, history):
    document = {"pipeline": {"name": "p"}, "transform": {"image": "i", "cmd": ["c"]}, "input": INPUTS[kind]}
    document["on_collision"] = "overwrite"
    checked = Checked()
    with (
        Pfs.open(f"memory://changes-{next(NAMES)}", "sqlite://") as pfs,
        mock.patch.object(plan, "list_changes", checked),
    ):
        for repo in "ab":
            pfs.create_repo(repo)
            commit(pfs, repo, {"first": "1"})
        run(pfs, document, 0, name_of)
        for number, (repo, files) in enumerate(history, start=1):
            commit(pfs, repo, files)
            run(pfs, document, number, name_of)
    assert len(checked.answers) == len(history)
    assert all(checked.answers) or kind not in CAN_TELL


@pytest.fixture
def pfs():
    with Pfs.open(f"memory://changes-{next(NAMES)}", "sqlite://") as client:
        client.create_repo("a")
        commit(client, "a", {"x": "1", "y": "1"})
        yield client


DOCUMENT = {"pipeline": {"name": "p"}, "transform": {"image": "i", "cmd": ["c"]}, "input": leaf()}


@pytest.mark.parametrize(
    "changed",
    [
        {"code_version": "2"},
        {"input": leaf(glob="/*", name="other")},
        {"input": {"union": [leaf(), leaf(glob="/x")]}},
        {"reprocess_spec": "every_job"},
    ],
)
def test_another_listing_rule_lists_everything(pfs, changed):
    run(pfs, DOCUMENT, 1, name_of)
    commit(pfs, "a", {"z": "1"})
    checked = Checked()
    with mock.patch.object(plan, "list_changes", checked):
        job = run(pfs, {**DOCUMENT, **changed}, 2, name_of)
    assert checked.answers == []
    assert job.datums_total == 3


def test_recovered_datums_run_again_though_nothing_changed(pfs):
    def recover(inputs):
        raise CodeRecovered("err_cmd")

    run(pfs, DOCUMENT, 1, recover)
    commit(pfs, "a", {"z": "1"})
    job = run(pfs, DOCUMENT, 2, name_of)
    assert (job.datums_total, job.datums_processed) == (3, 3)


def test_a_deleted_commit_lists_everything(pfs):
    run(pfs, DOCUMENT, 1, name_of)
    old = pfs.inspect_branch("a@master").head
    commit(pfs, "a", {"z": "1"})
    checked = Checked()
    with (
        mock.patch.object(plan, "list_changes", checked),
        mock.patch.object(datums_changes, "open_sources", side_effect=datums_changes.NotFound("gone")),
    ):
        job = run(pfs, DOCUMENT, 2, name_of)
    assert old != pfs.inspect_branch("a@master").head
    assert checked.answers == []
    assert (job.datums_total, job.datums_processed, job.datums_skipped) == (3, 1, 2)


def test_many_changes_are_listed_instead(pfs):
    run(pfs, DOCUMENT, 1, name_of)
    commit(pfs, "a", {"z": "1", "w": "1"})
    checked = Checked()
    with mock.patch.object(plan, "list_changes", checked), mock.patch.object(datums_changes, "MOST_CHANGES", 1):
        job = run(pfs, DOCUMENT, 2, name_of)
    assert checked.answers == [False]
    assert (job.datums_total, job.datums_processed) == (4, 2)

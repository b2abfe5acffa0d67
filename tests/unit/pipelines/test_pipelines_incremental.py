"""Incremental pipelines: what a datum sees that was processed before, and when it begins from scratch."""

import re

import pytest

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec, assemble_job
from airflow_pachy.pipelines.jobs import list_job_datums
from airflow_pachy.testing.pipelines import CodeFailed


def total(inputs):
    """The sum of the numbers seen, added to the last sum, for each directory; the manual's own example."""
    sums = {path: int(content) for path, content in inputs.get("out", {}).items()}
    for path, content in inputs.get("images", {}).items():
        folder = path.rpartition("/")[0] or "all"
        sums[f"{folder}/sum"] = sums.get(f"{folder}/sum", 0) + sum(map(int, content.split()))
    return {path: str(number).encode() for path, number in sums.items()}


@pytest.fixture
def sums(bench):
    bench.document |= {"incremental": True}
    seen = []

    def code(inputs):
        seen.append({name: sorted(files) for name, files in inputs.items()})
        return total(inputs)

    bench.code, bench.seen = code, seen
    return bench


def output(bench):
    return {path.removeprefix("/"): content for path, content in bench.output().items()}


def remove(bench, *paths, repo="images"):
    with bench.pfs.commit(f"{repo}@master") as commit:
        for path in paths:
            commit.delete_file(path)


def put(bench, repo="images", **files):
    with bench.pfs.commit(f"{repo}@master") as commit:
        for name, content in files.items():
            commit.put_file("/" + name.replace("__", "/"), content)


def reasons(bench, job):
    return {path: one.reason for one in list_job_datums(bench.pfs, job.id) for _name, path in one.inputs}


def test_a_sum_of_the_manual_over_several_commits(sums):
    put(sums, D1__F1=b"1", D2__F1=b"10")
    first = sums.run()
    put(sums, D1__F2=b"2")
    second = sums.run()
    put(sums, D1__F3=b"3", D1__F4=b"4", D2__F2=b"20")
    third = sums.run()
    assert output(sums) == {"D1/sum": b"10", "D2/sum": b"30"}
    assert sums.seen[2:] == [
        {"images": ["D1/F2"], "out": ["D1/sum"]},
        {"images": ["D1/F3", "D1/F4"], "out": ["D1/sum"]},
        {"images": ["D2/F2"], "out": ["D2/sum"]},
    ]
    assert (second.datums_processed, second.datums_skipped) == (1, 1)
    (former,) = [one.id for one in list_job_datums(sums.pfs, second.id) if one.inputs == (("images", "/D1"),)]
    came_from = f"begins with the output of datum {former} in job {second.id}"
    assert reasons(sums, third)["/D1"] == f"changed: /D1; incremental: 2 new or changed files, {came_from}"
    # The other one was not processed since the first job.
    assert first.id in reasons(sums, third)["/D2"]


def test_what_the_code_changes_and_deletes_in_its_output_is_its_new_output(sums):
    put(sums, D1__F1=b"1")
    sums.run(code=lambda inputs: {"a": b"1", "b": b"1", "c": b"1"})
    put(sums, D1__F2=b"2")
    sums.run(code=lambda inputs: {"a": inputs["out"]["a"], "c": b"2", "d": b"2"})
    assert output(sums) == {"a": b"1", "c": b"2", "d": b"2"}


def test_a_file_that_was_overwritten_is_seen_as_new(sums):
    sums.document["input"] = {"pfs": {"repo": "images", "glob": "/"}}
    for number in range(5):
        put(sums, data=b"%d" % number)
        sums.run()
    assert output(sums) == {"all/sum": b"10"}
    assert sums.seen[-1] == {"images": ["data"], "out": ["all/sum"]}


@pytest.mark.parametrize("at_once", [True, False])
def test_removed_files_start_the_datum_from_scratch(sums, at_once):
    put(sums, D1__F1=b"1", D1__F2=b"2", D2__F1=b"10")
    sums.run()
    with sums.pfs.commit("images@master") as commit:
        commit.delete_file("/D1/F1")
        if at_once:
            commit.put_file("/D1/F3", b"4")
    job = sums.run()
    assert output(sums) == {"D1/sum": b"6" if at_once else b"2", "D2/sum": b"10"}
    assert reasons(sums, job)["/D1"] == "changed: /D1; from scratch: /D1/F1 was removed"
    assert "out" not in sums.seen[-1]


def test_files_that_become_directories_start_from_scratch(sums):
    sums.document["input"] = {"pfs": {"repo": "images", "glob": "/*"}}
    put(sums, a=b"1", b__c=b"2")
    sums.run()
    with sums.pfs.commit("images@master") as commit:
        commit.delete_file("/a")
        commit.delete_file("/b")
        commit.put_file("/a/c", b"3")
        commit.put_file("/b", b"4")
    job = sums.run()
    assert all("from scratch: /" in one for one in reasons(sums, job).values())
    assert output(sums) == {"a/sum": b"3", "all/sum": b"4"}


def test_content_that_was_there_before_is_skipped_with_its_output_then(sums):
    put(sums, D1__F1=b"1")
    sums.run()
    put(sums, D1__F2=b"2")
    sums.run()
    remove(sums, "/D1/F2")
    job = sums.run()
    assert (job.datums_skipped, output(sums)) == (1, {"D1/sum": b"1"})


def test_several_commits_at_once_are_all_seen(sums):
    put(sums, D1__F1=b"1")
    sums.run()
    for number in range(2, 5):
        put(sums, **{f"D1__F{number}": b"%d" % number})
    sums.run()
    assert sums.seen[-1] == {"images": ["D1/F2", "D1/F3", "D1/F4"], "out": ["D1/sum"]}
    assert output(sums) == {"D1/sum": b"10"}


def test_a_failed_job_does_not_count(sums):
    put(sums, D1__F1=b"1", D2__F1=b"1")
    sums.run()

    def only_d1(inputs):
        if any(path.startswith("D2") for path in inputs["images"]):
            raise CodeFailed("no")
        return total(inputs)

    put(sums, D1__F2=b"2", D2__F2=b"2")
    plan = sums.plan("failing")
    sums.process(plan, only_d1)
    with pytest.raises(Exception, match="failed"):
        assemble_job(sums.pfs, plan.job_id)
    put(sums, D1__F3=b"3", D2__F3=b"3")
    job = sums.run()
    # Both see everything since the job that published.
    assert sums.seen[-2:] == [{"images": [f"D{n}/F2", f"D{n}/F3"], "out": [f"D{n}/sum"]} for n in (1, 2)]
    assert (job.datums_processed, output(sums)) == (2, {"D1/sum": b"6", "D2/sum": b"6"})


def test_planning_again_goes_on_from_the_same_output(sums):
    put(sums, D1__F1=b"1")
    sums.run()
    put(sums, D1__F2=b"2")
    plan = sums.plan("again")
    plan = sums.plan("again")
    assert plan.attempt == 2
    sums.process(plan)
    assemble_job(sums.pfs, plan.job_id)
    assert output(sums) == {"D1/sum": b"3"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reprocess": True}, "reprocess"),
        ({"spec": {"code_version": "2"}}, "code_version has changed"),
        ({"spec": {"transform": {"image": "edges:2", "cmd": ["edges"]}}}, "image changed since version 1"),
        ({"spec": {"transform": {"image": "edges:1", "cmd": ["other"]}}}, "cmd changed since version 1"),
        ({"spec": {"input": {"pfs": {"repo": "images", "glob": "/D*"}}}}, "the input"),
    ],
)
def test_other_code_starts_from_scratch(sums, options, words):
    put(sums, D1__F1=b"1")
    sums.run()
    put(sums, D1__F2=b"2")
    job = sums.run(**options)
    assert sums.seen[-1] == {"images": ["D1/F1", "D1/F2"]}
    assert words in reasons(sums, job)["/D1"]
    # And goes on from there.
    put(sums, D1__F3=b"3")
    sums.run(spec=options.get("spec", {}))
    assert sums.seen[-1] == {"images": ["D1/F3"], "out": ["D1/sum"]}
    assert output(sums) == {"D1/sum": b"6"}


def test_what_says_nothing_about_the_code_goes_on(sums):
    put(sums, D1__F1=b"1")
    sums.run()
    put(sums, D1__F2=b"2")
    transform = {**sums.document["transform"], "env": {"DAY": "2"}}
    sums.run(spec={"transform": transform, "datum_tries": 5, "parallelism_spec": {"constant": 2}})
    assert output(sums) == {"D1/sum": b"3"}
    assert sums.seen[-1]["images"] == ["D1/F2"]


def test_a_pipeline_that_becomes_incremental_starts_from_scratch(sums):
    put(sums, D1__F1=b"1")
    sums.run(spec={"incremental": False})
    put(sums, D1__F2=b"2")
    job = sums.run()
    assert "incremental changed since version 1" in reasons(sums, job)["/D1"]
    assert output(sums) == {"D1/sum": b"3"}


def test_a_branch_that_goes_back_starts_from_scratch(sums):
    put(sums, D1__F1=b"1")
    begin = sums.pfs.inspect_branch("images@master").head
    put(sums, D1__F1=b"2")
    sums.run()
    sums.pfs.create_branch("images@master", head=begin)
    put(sums, D1__F2=b"4")
    job = sums.run()
    assert re.search(r"from scratch: images@\w+ does not come after commit \w+", reasons(sums, job)["/D1"])
    assert output(sums) == {"D1/sum": b"5"}


def test_recovered_datums_start_from_scratch(sums):
    from airflow_pachy.testing.pipelines import CodeRecovered

    put(sums, D1__F1=b"1")
    sums.run()
    put(sums, D1__F2=b"2")

    def recover(inputs):
        raise CodeRecovered("err_cmd")

    sums.run(code=recover)
    put(sums, D1__F3=b"3")
    sums.run()
    assert output(sums) == {"D1/sum": b"6"}


def test_each_input_of_a_cross_shows_what_is_new_in_it(sums):
    sums.pfs.create_repo("scales")
    cross = [{"pfs": {"repo": "images", "glob": "/*"}}, {"pfs": {"repo": "scales", "glob": "/"}}]
    sums.document["input"] = {"cross": cross}
    put(sums, D1__F1=b"1")
    put(sums, "scales", by=b"2")
    sums.run()
    put(sums, D1__F2=b"2")
    sums.run()
    assert sums.seen[-1] == {"images": ["D1/F2"], "scales": [], "out": ["D1/sum"]}
    put(sums, "scales", to=b"2")
    sums.run()
    assert sums.seen[-1] == {"images": [], "scales": ["to"], "out": ["D1/sum"]}
    assert output(sums) == {"D1/sum": b"3"}


def test_an_input_that_is_not_incremental_is_shown_whole_and_starts_over_when_it_changes(sums):
    sums.pfs.create_repo("scales")
    whole = {"pfs": {"repo": "scales", "glob": "/", "incremental": False}}
    sums.document["input"] = {"cross": [{"pfs": {"repo": "images", "glob": "/*"}}, whole]}
    put(sums, D1__F1=b"1")
    put(sums, "scales", by=b"2")
    sums.run()
    put(sums, D1__F2=b"2")
    sums.run()
    assert sums.seen[-1] == {"images": ["D1/F2"], "scales": ["by"], "out": ["D1/sum"]}
    put(sums, "scales", by=b"3")
    job = sums.run()
    assert sums.seen[-1] == {"images": ["D1/F1", "D1/F2"], "scales": ["by"]}
    assert "scales:/ has changed, and is always shown whole" in reasons(sums, job)["/D1"]
    assert output(sums) == {"D1/sum": b"3"}


def test_a_group_goes_on_when_it_gets_a_file(sums):
    def by_letter(inputs):
        sums.seen.append({name: sorted(files) for name, files in inputs.items()})
        (letter,) = {path.rpartition("/")[2][0] for path in inputs["images"]}
        before = int(inputs.get("out", {}).get(letter, b"0"))
        return {letter: str(before + sum(map(int, inputs["images"].values()))).encode()}

    sums.code = by_letter
    sums.document["input"] = {"group": [{"pfs": {"repo": "images", "glob": "/*/(?)*", "group_by": "$1"}}]}
    put(sums, D1__a1=b"1", D1__b1=b"10")
    sums.run()
    put(sums, D2__a2=b"2")
    job = sums.run()
    assert sums.seen[-1] == {"images": ["D2/a2"], "out": ["a"]}
    assert reasons(sums, job)["/D2/a2"].startswith("changed; incremental: 1 new or changed file, ")
    assert output(sums) == {"a": b"3", "b": b"10"}
    remove(sums, "/D1/a1")
    put(sums, D1__a3=b"3")
    sums.run()
    assert sums.seen[-1] == {"images": ["D1/a3", "D2/a2"]}
    assert output(sums) == {"a": b"5", "b": b"10"}


def test_members_of_a_union_that_share_a_name_are_not_taken_for_each_other(sums):
    sums.pfs.create_repo("more")
    members = [{"pfs": {"repo": repo, "name": "images", "glob": "/*"}} for repo in ("images", "more")]
    sums.document["input"] = {"union": members}
    put(sums, D1__F1=b"1")
    sums.pfs.create_branch("more@master")
    put(sums, "more", D9__F1=b"5")
    sums.run()
    with sums.pfs.commit("images@master") as commit:
        commit.delete_file("/D1")
        commit.put_file("/D3/F", b"1")
    put(sums, "more", D1__F7=b"7")
    sums.run(latest=True)
    assert {"images": ["D1/F7"]} in sums.seen
    assert output(sums)["D1/sum"] == b"7"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reprocess_spec": "every_job"}, "drop reprocess_spec"),
        ({"service": {"internal_port": 80}}, "a service has no datums"),
        ({"input": {"pfs": {"repo": "r", "glob": "/", "incremental": False}}}, "every input says incremental: false"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(more, words):
    import json

    document = {
        "pipeline": {"name": "p"},
        "transform": {"image": "i", "cmd": ["c"]},
        "input": {"pfs": {"repo": "r", "glob": "/"}},
        "incremental": True,
    }
    with pytest.raises(InvalidSpec, match=rf"spec:1, pipeline 'p': .*{words}"):
        PipelineSpec.parse(json.dumps(document | more))

"""`pachy draw pipeline`: pictures of specs, of DAG files and of what the database knows."""

import json

import pytest

EDGES = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "opencv:4", "cmd": ["x"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


def draw_spec(pachy, tmp_path, **fields):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**EDGES, **fields}))
    return pachy("draw", "pipeline", "-f", str(path)).lines


def test_what_the_database_knows(pachy, tmp_path):
    pachy("create", "repo", "images")
    for name, repo in (("edges", "images"), ("count", "edges")):
        (tmp_path / "spec.json").write_text(
            json.dumps({**EDGES, "pipeline": {"name": name}, "input": {"pfs": {"repo": repo, "glob": "/*"}}})
        )
        pachy("create", "pipeline", "-f", str(tmp_path / "spec.json"))
    assert pachy("draw", "pipeline").lines == [
        "flowchart LR",
        '    repo_edges[("edges")]',
        '    step_count["count"]',
        '    repo_count[("count")]',
        '    repo_images[("images")]',
        '    step_edges["edges"]',
        '    repo_edges -->|"/*"| step_count',
        "    step_count --> repo_count",
        '    repo_images -->|"/*"| step_edges',
        "    step_edges --> repo_edges",
    ]
    assert not any("images" in line for line in pachy("draw", "pipeline", "count").lines)


def test_kinds_of_input_are_told_apart(pachy, tmp_path):
    lines = draw_spec(
        pachy,
        tmp_path,
        input={
            "cross": [
                {
                    "join": [
                        {"pfs": {"repo": "stores", "glob": "/(*).txt", "join_on": "$1", "outer_join": True}},
                        {"pfs": {"repo": "sales", "branch": "eu", "glob": "/*-(*).txt", "join_on": "$1"}},
                    ]
                },
                {"pfs": {"repo": "rates", "glob": "/", "trigger": False}},
                {"cron": {"name": "night", "spec": "@daily"}},
            ]
        },
        egress={"URL": "s3://reports/edges"},
    )
    assert '    step_edges["edges<br/>cross(join, rates, night)"]' in lines
    assert '    repo_stores -->|"/(*).txt outer join on $1"| step_edges' in lines
    assert '    repo_sales_eu[("sales@eu")]' in lines
    assert '    repo_rates -.->|"/"| step_edges' in lines
    assert '    source_cron_daily(["cron @daily"])' in lines
    assert "    source_cron_daily --> repo_edges_night" in lines
    assert '    target_s3_reports_edges[/"s3://reports/edges"/]' in lines
    assert '    repo_edges -->|"egress"| target_s3_reports_edges' in lines


def test_a_trigger_is_drawn_at_the_branch_that_it_follows(pachy, tmp_path):
    lines = draw_spec(
        pachy, tmp_path, input={"pfs": {"repo": "images", "glob": "/*", "trigger": {"branch": "raw", "commits": 3}}}
    )
    assert '    repo_images_raw -->|"/* when commits 3"| step_edges' in lines


def test_texts_cannot_break_out_of_the_picture(pachy, tmp_path):
    lines = draw_spec(pachy, tmp_path, input={"pfs": {"repo": "images", "glob": '/a"<b>#`*'}})
    assert '    repo_images -->|"/a#quot;#lt;b#gt;#35;#96;*"| step_edges' in lines


def test_names_that_look_alike_stay_apart(pachy, tmp_path):
    (tmp_path / "two.json").write_text(
        json.dumps([{**EDGES, "pipeline": {"name": "a-b"}}, {**EDGES, "pipeline": {"name": "a_b"}}])
    )
    lines = pachy("draw", "pipeline", "-f", str(tmp_path / "two.json")).lines
    assert '    step_a_b["a-b"]' in lines
    assert '    step_a_b_2["a_b"]' in lines


DAG_FILE = """
from airflow.sdk import DAG, task
from airflow_pachy.assets import pfs_asset
from airflow_pachy.operators import (
    DatumMapOperator, PfsBranchOperator, PfsCopyOperator, PfsEgressOperator, PfsPutOperator,
)

with DAG("shop", schedule=None):
    fetch = PfsPutOperator(task_id="fetch", destination="raw@staging:/{{ ds }}.csv", url="https://example.com/a.csv")
    keep = PfsCopyOperator(task_id="keep", source="raw@staging:/a.csv", destination="archive@master:/a.csv")
    release = PfsBranchOperator(task_id="release", branch="raw@master", head="raw@staging")
    sums = DatumMapOperator(
        "sums", input={"pfs": {"repo": "raw", "glob": "/*"}}, cmds=["x"], output="sums@master", egress="s3://bucket/sums"
    )
    table = PfsEgressOperator(task_id="table", commit="sums@master", egress="file:///reports")
    after = PfsEgressOperator(task_id="after", commit=sums.output, egress="file:///after")

    @task(inlets=[pfs_asset("sums")], outlets=[pfs_asset("news@draft")])
    def write():
        ...

    @task
    def unrelated():
        ...

    @task
    def choose():
        return "raw@staging"

    checked = PfsBranchOperator(task_id="checked", branch="raw@checked", head=choose())
    promoted = PfsBranchOperator(task_id="promoted", branch="sums@stable", head=sums.output)

    fetch >> keep >> release >> sums >> table >> write() >> unrelated()
"""


def test_a_dag_file_with_stages_and_tasks(pachy, tmp_path):
    (tmp_path / "shop.py").write_text(DAG_FILE)
    lines = pachy("draw", "pipeline", "-f", str(tmp_path / "shop.py")).lines
    for line in (
        "    source_https_example_com_a_csv --> step_fetch",
        "    step_fetch --> repo_raw_staging",
        "    repo_raw_staging --> step_keep",
        "    step_keep --> repo_archive",
        "    repo_raw_staging --> step_release",
        "    step_release --> repo_raw",
        "    step_choose --> step_checked",
        "    step_checked --> repo_raw_checked",
        "    repo_sums --> step_promoted",
        '    repo_raw -->|"/*"| step_sums',
        "    step_sums --> repo_sums",
        '    repo_sums -->|"egress"| target_s3_bucket_sums',
        '    repo_sums -->|"egress"| target_file_reports',
        '    repo_sums -->|"egress"| target_file_after',
        "    repo_sums --> step_write",
        "    step_write --> repo_news_draft",
    ):
        assert line in lines
    assert not any("unrelated" in line for line in lines)


STANDING = """
from airflow.sdk import DAG
from airflow_pachy.operators import PfsServiceOperator, PfsSpoutOperator

with DAG("standing", schedule=None):
    PfsSpoutOperator(task_id="listen", image="x", cmds=["x"], output="messages@master")
    PfsServiceOperator(
        task_id="web",
        image="x",
        cmds=["x"],
        input={"pfs": {"repo": "pages", "glob": "/"}},
        service={"internal_port": 80},
    )
"""


def test_what_stands_all_the_time(pachy, tmp_path):
    (tmp_path / "standing.py").write_text(STANDING)
    lines = pachy("draw", "pipeline", "-f", str(tmp_path / "standing.py")).lines
    assert [line.strip() for line in lines if "--" in line] == [
        "step_messages --> repo_messages",
        'repo_pages -->|"/"| step_web',
    ]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("empty.py", "x = 1", "there is no DAG in this file"),
        ("broken.py", "import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("broken.json", "{", "broken.json"),
    ],
)
def test_files_that_cannot_be_drawn(pachy, tmp_path, file, text, said):
    (tmp_path / file).write_text(text)
    assert said in pachy("draw", "pipeline", "-f", str(tmp_path / file), fails=True).err


def test_what_there_is_not(pachy):
    assert "no pipeline to draw yet" in pachy("draw", "pipeline", fails=True).err
    assert "nope.py" in pachy("draw", "pipeline", "-f", "nope.py", fails=True).err
    assert "not both" in pachy("draw", "pipeline", "edges", "-f", "x.json", fails=True).err

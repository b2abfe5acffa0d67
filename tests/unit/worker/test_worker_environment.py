"""The variables that a datum's command finds."""

from airflow_pachy.worker.environment import datum_environment
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan, decode_plan, encode_plan


def make_plan(*inputs: InputPlan) -> SetPlan:
    transform = TransformPlan(cmd=("true",), env={"A": "b", "PACH_JOB_ID": "not mine"})
    return SetPlan("job1", "0001-000000", "p", "o" * 32, transform, "jobs/job1/x", (DatumPlan("d1", inputs),))


def environment(*inputs: InputPlan) -> dict[str, str]:
    plan = make_plan(*inputs)
    return datum_environment(plan, plan.datums[0], "/pfs")


def test_inputs_are_named_by_path_and_commit():
    whole = InputPlan("all", "models", "master", "b" * 32, "", "/")
    found = environment(InputPlan("photos", "images", "master", "a" * 32, "", "/2024/a.png"), whole)
    assert found["photos"] == "/pfs/photos/2024/a.png"
    assert found["photos_COMMIT"] == found["PACH_PHOTOS_COMMIT_ID"] == "a" * 32
    assert found["all"] == "/pfs/all"
    assert found["PPS_PIPELINE_NAME"] == "p"
    assert (found["A"], found["PACH_JOB_ID"], found["PACH_OUTPUT_COMMIT_ID"]) == ("b", "job1", "o" * 32)


def test_keys_of_joins_and_groups_are_told():
    captures = ("/(*)-(*).csv", "$2/$1", "all of $1")
    joined = InputPlan("a", "r", "master", "c", "", "shop-7.csv", captures=captures)
    found = environment(joined, InputPlan("b", "r", "master", "c", "", "x", captures=("/*", "", "one")))
    assert found["PACH_DATUM_a_JOIN_ON"] == "7/shop"
    assert found["PACH_DATUM_a_GROUP_BY"] == "all of shop"
    assert found["PACH_DATUM_b_GROUP_BY"] == "one"
    assert "PACH_DATUM_b_JOIN_ON" not in found
    assert not [name for name in environment(InputPlan("c", "r", "m", "c", "", "x")) if name.startswith("PACH_DATUM_c")]


def test_keys_survive_in_the_plan():
    plan = make_plan(InputPlan("a", "r", "master", "c", "", "x", captures=("/(*)", "$1", "")))
    assert decode_plan(encode_plan(plan)) == plan

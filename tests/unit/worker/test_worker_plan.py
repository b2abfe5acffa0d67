import json

import pytest

from airflow_pachy.errors import Corrupt
from airflow_pachy.worker.plan import DatumPlan, InputPlan, SetPlan, TransformPlan, decode_plan, encode_plan, plan_key


def make_plan(datums: int = 3, **transform) -> SetPlan:
    images = {"name": "images", "repo": "images", "branch": "master", "commit": "c" * 32, "tree": "t" * 120}
    return SetPlan(
        job="job1",
        set="0001-000000",
        pipeline="edges",
        output_commit="d" * 32,
        transform=TransformPlan(**{"cmd": ("python3", "edges.py"), **transform}),
        results_prefix="jobs/job1/0001-000000",
        datums=tuple(
            DatumPlan(f"{n:032x}", (InputPlan(path=f"/a/{n}.png", **images), InputPlan(path="/", lazy=True, **images)))
            for n in range(datums)
        ),
    )


def test_a_plan_survives_the_round_trip():
    plan = make_plan(
        stdin=("a", "b"),
        env={"K": "v"},
        working_dir="/w",
        user="1000",
        err_cmd=("true",),
        err_stdin=("x",),
        accept_return_codes=(3, 4),
        datum_tries=5,
        datum_timeout_seconds=1.5,
    )
    assert decode_plan(encode_plan(plan)) == plan


def test_what_datums_share_is_written_once():
    body = encode_plan(make_plan(1000))
    assert body.count(b"t" * 120) == 2
    assert len(body) < 1000 * 70


def test_odd_paths_survive():
    plan = make_plan(1)
    odd = DatumPlan("x", (InputPlan("in", "r", "b", "c", "t", 'naïve/"quoted"\n*[1]/日本'),))
    plan = SetPlan(**{name: getattr(plan, name) for name in plan.__slots__} | {"datums": (odd,)})
    assert decode_plan(encode_plan(plan)) == plan


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", encode_plan(make_plan())[:-20]])
def test_rubbish_is_refused_with_the_key(body):
    with pytest.raises(Corrupt, match=r"jobs/x/plan/1.json is not a set plan"):
        decode_plan(body, key="jobs/x/plan/1.json")


def test_a_newer_format_says_which_image_to_use():
    document = json.loads(encode_plan(make_plan()))
    document["format"] = 2
    with pytest.raises(Corrupt, match=r"format 2.*helper image of the same release"):
        decode_plan(json.dumps(document).encode())


def test_plan_keys_sort_by_attempt_and_number():
    assert plan_key("j", 1, 2) == "jobs/j/plan/0001-000002.json"
    assert plan_key("j", 2, 10) > plan_key("j", 2, 9) > plan_key("j", 1, 10)

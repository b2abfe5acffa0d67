"""Assembly in small pieces comes to what it comes to in one."""

import pytest

from airflow_pachy.pipelines import outputs, parts
from airflow_pachy.testing.pipelines import CodeFailed


@pytest.fixture(params=["in one piece", "in small pieces"])
def pieces(request, monkeypatch):
    if request.param == "in small pieces":
        monkeypatch.setattr(outputs.OutputBuilder.__init__, "__defaults__", (3, *_factories()))
        monkeypatch.setattr(parts.combine, "__kwdefaults__", {"batch_files": 3})
        monkeypatch.setattr(parts, "_BATCH", 2)
    return request.param


def _factories():
    return outputs.OutputBuilder.__init__.__defaults__[1:]


def words(inputs):
    """Each word of a file is a path that its line goes to."""
    found = {}
    for files in inputs.values():
        for path, content in files.items():
            for word in content.decode().split():
                found[word] = found.get(word, b"") + f"{path} ".encode()
    return found


@pytest.mark.parametrize("rule", ["append", "overwrite"])
def test_parts_are_combined(bench, pieces, rule):
    bench.code = words
    bench.document["on_collision"] = rule
    texts = {f"f{number:02d}": [f"w{number % 7}", f"w{number % 5}", f"own{number}"] for number in range(20)}
    bench.put(**{name: " ".join(found).encode() for name, found in texts.items()})
    bench.run()
    assert bench.output() == expected(texts, rule)
    # One path loses a part, one is gone, one is new.
    texts["f03"] = ["w3", "fresh"]
    texts["f20"] = ["w0", "own20"]
    bench.put(f03=b"w3 fresh", f20=b"w0 own20")
    bench.run()
    assert bench.output() == expected(texts, rule)


def expected(texts, rule):
    found = {}
    for name in sorted(texts):
        for word in dict.fromkeys(texts[name]):
            own = f"{name} ".encode() * texts[name].count(word)
            found[f"/{word}"] = own if rule == "overwrite" else found.get(f"/{word}", b"") + own
    return found


def test_files_are_put_and_removed(bench, pieces):
    bench.put(**{f"f{number:02d}": b"x%d" % number for number in range(20)})
    bench.run()
    assert bench.output() == {f"/f{number:02d}": b"X%d" % number for number in range(20)}
    with bench.pfs.commit("images@master") as commit:
        for number in range(0, 20, 2):
            commit.delete_file(f"/f{number:02d}")
        commit.put_file("/f01", b"new")
    bench.run()
    assert bench.output() == {"/f01": b"NEW"} | {f"/f{number:02d}": b"X%d" % number for number in range(3, 20, 2)}


def test_a_failure_keeps_what_an_earlier_success_says(bench):
    bench.put(a=b"1", b=b"2")
    plan = bench.plan("run1")
    bench.process(plan)

    def fail(inputs):
        raise CodeFailed("last\0words")

    # A zombie pod fails what another pod has done.
    bench.process(plan, fail, attempt="0002")
    job = bench.run("run1")
    assert (job.state, job.datums_processed, job.datums_failed) == ("success", 2, 0)

"""Spec files as people write them: JSON with comments, YAML, Jsonnet, several documents, and where their errors are."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.reading.json_text import read_json
from airflow_pachy.pipelines.reading.sources import read_documents

EDGES = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "edges:1", "cmd": ["python3", "/edges.py"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}


def values(text, **options):
    return [document.value for document in read_documents(text, **options)]


def problem(text, **options):
    with pytest.raises(InvalidSpec) as raised:
        read_documents(text, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('// c\n{"a": /* b */ 1, # c\n}', [{"a": 1}]),
        ('{"a": [1, 2,],}', [{"a": [1, 2]}]),
        ('{"a": 1}{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n---\n{"b": 2}\n---', [{"a": 1}, {"b": 2}]),
        ('[{"a": 1}, {"b": 2}]\n{"c": 3}', [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('{"a": "// no comment # nor here /* */"}', [{"a": "// no comment # nor here /* */"}]),
        ('{"a": "\\u00e9\\ud83d\\ude00\\/"}', [{"a": "é😀/"}]),
        ('{"a": "line\nbreak\ttab"}', [{"a": "line\nbreak\ttab"}]),
        ('{\n\t"a":\t-1.5e3}', [{"a": -1500.0}]),
        ('{"a": {}, "b": [], "c": null, "d": true}', [{"a": {}, "b": [], "c": None, "d": True}]),
        ("\ufeff{}\n{}", [{}, {}]),
        ("{a: 1, b: [x, y]}", [{"a": 1, "b": ["x", "y"]}]),
        ("a: 1\n---\nb: yes\n---\n", [{"a": 1}, {"b": "yes"}]),
        (
            "on: 2024-01-01T00:00:00Z\nd: 2024-01-01\nt: 12:30:45",
            [{"on": "2024-01-01T00:00:00Z", "d": "2024-01-01", "t": "12:30:45"}],
        ),
        ("a: 010\nb: 0x10\nc: 1e3\nd: .5\ne: ~", [{"a": 10, "b": "0x10", "c": 1000.0, "d": 0.5, "e": None}]),
        ("x: &base {a: 1}\ny:\n  <<: *base\n  b: 2", [{"x": {"a": 1}, "y": {"a": 1, "b": 2}}]),
        ("# only a comment\na: 1", [{"a": 1}]),
        ("- a: 1\n- b: 2", [{"a": 1}, {"b": 2}]),
    ],
)
def test_texts_are_read(text, expected):
    assert values(text) == expected
    assert values(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "3:3", "expected ',' or '}'"),
        ('{\n  "a": }', "2:8", "expected a value"),
        ('{"a": [1, 2}', "1:12", "expected ',' or ']'"),
        ('{\n  "a": 1,\n', "3:1", "the '{' of line 1, column 1 is not closed"),
        ('{"a": "b', "1:7", "unterminated string"),
        ('{\n "a": 1,\n "a": 2}', "3:2", "'a' is given twice, first in line 2"),
        ('{"a" 1}', "1:6", "expected ':' after 'a'"),
        ('{"a": 1} x', "1:10", "expected a value"),
        ('{"a": 1,, "b": 2}', "1:9", 'expected "name": value'),
        ('{"a": 01}', "1:7", "expected a value"),
        ('{"a": NaN}', "1:7", "names and texts need double quotes"),
        ('{"a": ' + "[" * 200 + "}", "1:", "levels deep"),
    ],
)
def test_json_errors_name_line_and_column(tmp_path, text, place, words):
    file = tmp_path / "edges.json"
    file.write_text(text)
    told = problem(file)
    assert "edges.json:" in told
    assert words in told
    assert f"edges.json:{place}" in told


def test_yaml_errors_name_line_and_column(tmp_path):
    file = tmp_path / "edges.yaml"
    file.write_text("a: 1\nb: [1, 2\nc: 3\n")
    assert re.search(r"edges\.yaml:3:\d+: neither JSON nor YAML", problem(file))
    file.write_text("a: 1\nb: 2\na: 3\n")
    assert "edges.yaml:3: 'a' is given twice, first in line 1" in problem(file)
    file.write_text("a: &x\n  b: *x\n")
    assert "edges.yaml:1: an alias refers to what it stands in" in problem(file)
    file.write_text("a: !!python/object/apply:os.system [id]\n")
    assert "edges.yaml:1:4: neither JSON nor YAML" in problem(file)
    file.write_bytes(b"a: \xff")
    assert "not UTF-8 text" in problem(file)


def test_a_json_file_with_tabs_may_be_called_yaml(tmp_path):
    file = tmp_path / "edges.yaml"
    file.write_text('{\n\t// tabs and comments\n\t"a": 1\n}')
    assert values(file) == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('{"pipeline": {"name": "x"},\n"transform": {\n"cmd": ["a"],\n"imgae": "b"}}', "transform.imgae", 4),
        (
            "pipeline: {name: x}\ntransform:\n  cmd: [a]\n  secrets:\n  - name: s\n    mountpth: /x\n",
            "transform.secrets[0].mountpth",
            6,
        ),
        (
            '[\n{"pipeline": {"name": "x"},\n"input": {"cross": [{"pfs": {"repo": "a",\n"lazi": true}}]}}]',
            "input.cross[0].pfs.lazi",
            4,
        ),
    ],
)
def test_wrong_fields_are_found_by_line(text, path, line):
    with pytest.raises(InvalidSpec) as raised:
        PipelineSpec.parse(text)
    assert any(
        told.startswith(f"pipeline spec:{line}, pipeline 'x': {path}: ") for told in str(raised.value).splitlines()
    )


def test_wrong_values_are_found_by_line(tmp_path):
    file = tmp_path / "edges.json"
    text = json.dumps({**EDGES, "datum_tries": -1, "parallelism_spec": {"constant": "many"}}, indent=1)
    text = text.replace('"glob": "/*"', '"glob": "/[z"')
    file.write_text(text)
    with pytest.raises(InvalidSpec) as raised:
        PipelineSpec.parse(file)
    told = str(raised.value).splitlines()
    lines = {
        name: number
        for number, line in enumerate(text.splitlines(), 1)
        for name in ("datum_tries", "glob", "constant")
        if f'"{name}"' in line
    }
    assert len(told) == 3
    for name, number in lines.items():
        assert any(f"edges.json:{number}, pipeline 'edges': " in line and name in line for line in told)


TEMPLATE = """
local suffix = import 'suffix.libsonnet';
function(src, count='1') [
  { pipeline: { name: 'edges-' + src + suffix },
    transform: { image: 'i', cmd: ['c'] },
    parallelism_spec: { constant: std.parseInt(count) },
    input: { pfs: { repo: src, glob: '/*' } } } ]
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "suffix.libsonnet").write_text("'-x'")
    file = tmp_path / "edges.jsonnet"
    file.write_text(TEMPLATE)
    return file


def test_a_jsonnet_template_is_rendered_with_arguments(template):
    (spec,) = PipelineSpec.parse(template, arguments={"src": "images", "count": "3"})
    assert (spec.name, spec.parallelism_spec.constant) == ("edges-images-x", 3)
    (text,) = PipelineSpec.parse("function(a) " + json.dumps(EDGES).replace('"edges"', "a"), arguments={"a": "b"})
    assert text.name == "b"


def test_wrong_arguments_of_a_template_are_told(template):
    told = problem(template)
    assert "src not bound" in told
    assert "--arg name=value (given: none)" in told
    assert "has no parameter dest" in problem(template, arguments={"src": "a", "dest": "b"})
    template.write_text("{a: error 'too bad'}")
    assert problem(template) == f"{template}: too bad"
    template.write_text("{a: }")
    assert "edges.jsonnet:1:5" in problem(template)


def test_arguments_leave_other_files_alone(tmp_path):
    file = tmp_path / "edges.json"
    file.write_text(json.dumps(EDGES) + "// comment")
    assert values(file, arguments={"a": "b"}) == [EDGES]


def test_a_missing_jsonnet_says_how_to_get_it(template, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "_jsonnet", None)
    assert "pip install 'airflow-provider-pachy[jsonnet]'" in problem(template)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=3), st.sampled_from([None, 1, "\t"]))
def test_whatever_json_says_is_read_and_found(documents, indent):
    text = "\n// next\n".join(json.dumps(one, indent=indent, ensure_ascii=False) for one in documents)
    read = read_json(text, "any")
    assert [value for value, _ in read] == documents
    lines = text.split("\n")
    for value, marks in read:
        for name in value:
            mark = marks[(name,)]
            assert lines[mark.line - 1][mark.column - 1 :].startswith(json.dumps(name, ensure_ascii=False))

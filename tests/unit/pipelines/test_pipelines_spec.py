import json
from datetime import timedelta

import pytest

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines import PipelineSpec
from airflow_pachy.pipelines.inputs import CrossInput, PfsInput, UnionInput


def minimal(**changed):
    return {
        "pipeline": {"name": "edges"},
        "transform": {"image": "edges:1", "cmd": ["python3", "/edges.py"]},
        "input": {"pfs": {"repo": "images", "glob": "/*"}},
        **changed,
    }


def parse(**changed):
    (spec,) = PipelineSpec.parse(minimal(**changed))
    return spec


def refused(*words, **changed):
    with pytest.raises(InvalidSpec) as raised:
        parse(**changed)
    for word in ("edges", *words):
        assert word in str(raised.value)


def test_a_minimal_spec_has_the_defaults():
    spec = parse()
    assert (spec.name, spec.output, spec.datum_tries) == ("edges", "edges@master", 3)
    assert spec.input == PfsInput(repo="images", name="images", glob="/*")
    assert spec.on_collision == "error"


def test_a_2x_spec_is_read():
    spec = parse(
        description="finds edges",
        output_branch="staging",
        datum_timeout="1h30m",
        job_timeout="90s",
        datum_tries=5,
        parallelism_spec={"constant": 4},
        datum_set_spec={"number": 10},
        reprocess_spec="every_job",
        resource_requests={"cpu": 0.5, "memory": "1Gi", "gpu": {"type": "nvidia.com/gpu", "number": 1}},
        transform={
            "image": "edges:1",
            "cmd": ["sh"],
            "stdin": ["echo hi", "true"],
            "env": {"A": "b"},
            "accept_return_code": [3],
            "err_cmd": ["true"],
            "user": "root",
            "working_dir": "/app",
            "secrets": [{"name": "s", "env_var": "TOKEN", "key": "token"}, {"name": "t", "mount_path": "/t"}],
            "image_pull_secrets": ["registry"],
        },
    )
    assert spec.output == "edges@staging"
    assert (spec.datum_timeout, spec.job_timeout) == (timedelta(hours=1.5), timedelta(seconds=90))
    assert spec.transform.accept_return_code == (3,)
    assert spec.resource_requests.cpu == "0.5"
    assert spec.datum_set_spec.number == 10


def test_a_17_spec_is_read():
    spec = parse(input={"atom": {"repo": "images", "glob": "/", "branch": ""}}, chunk_spec={"number": "5"})
    assert spec.input == PfsInput(repo="images", name="images", branch="master", glob="/")
    assert spec.datum_set_spec.number == 5


def test_an_exported_spec_full_of_zero_values_is_read():
    spec = parse(
        egress=None,
        service={},
        standby=False,
        salt="",
        cache_size="",
        input={"pfs": {"repo": "images", "glob": "/*", "commit": "", "join_on": "", "s3": False, "lazy": False}},
    )
    assert spec == parse()


def test_inputs_nest():
    leaf = {"pfs": {"repo": "a", "glob": "/*"}}
    other = {"pfs": {"repo": "b", "glob": "/*", "name": "bees"}}
    spec = parse(input={"union": [{"cross": [leaf, other]}, leaf]})
    assert isinstance(spec.input, UnionInput)
    assert isinstance(spec.input.members[0], CrossInput)
    assert [one.name for one in spec.input.leaves()] == ["a", "bees", "a"]


def test_the_json_form_is_read_back_as_the_same_spec():
    leaf = {"pfs": {"repo": "a", "glob": "/*", "lazy": True}}
    spec = parse(
        input={"cross": [leaf, {"union": [{"pfs": {"repo": "b", "glob": "/**", "branch": "dev"}}]}]},
        datum_timeout="1m30s",
        on_collision="append",
        code_version="7",
        datum_set_spec={"per_worker": 2},
        output_repo="elsewhere",
    )
    assert PipelineSpec.parse(json.dumps(spec.to_spec())) == [spec]


def test_several_documents_in_json_and_yaml(tmp_path):
    one, two = minimal(), minimal(pipeline={"name": "two"})
    stream = json.dumps(one) + "\n" + json.dumps(two)
    array = json.dumps([one, two])
    yaml_text = (
        "---\npipeline: {name: edges}\ntransform: {image: 'edges:1', cmd: [python3, /edges.py]}\n"
        "input:\n  pfs: {repo: images, glob: '/*'}\n"
        "---\npipeline: {name: two}\ntransform: {image: 'edges:1', cmd: [python3, /edges.py]}\n"
        "input:\n  pfs: {repo: images, glob: '/*'}\n"
    )
    file = tmp_path / "specs.json"
    file.write_text(stream)
    expected = [PipelineSpec.from_dict(one), PipelineSpec.from_dict(two)]
    for source in (stream, array, yaml_text, stream.encode(), file):
        assert PipelineSpec.parse(source) == expected


def test_json_with_comments_and_trailing_commas_is_read():
    text = """{
      "pipeline": {"name": "edges"},  # the name
      "transform": {"image": "edges:1", "cmd": ["python3", "/edges.py"],},
      "input": {"pfs": {"repo": "images", "glob": "/*"}},
    }"""
    assert PipelineSpec.parse(text) == [parse()]


@pytest.mark.parametrize("text", ["", "  \n", "[]", "---\n"])
def test_an_empty_source_is_refused(text):
    with pytest.raises(InvalidSpec, match="no pipeline in it"):
        PipelineSpec.parse(text)


def test_what_is_no_document_is_refused_with_its_file(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("a: [1, 2")
    with pytest.raises(InvalidSpec, match=r"broken\.yaml:1:9: neither JSON nor YAML"):
        PipelineSpec.parse(file)
    with pytest.raises(InvalidSpec, match="an object with fields, found int"):
        PipelineSpec.parse("[1]")
    with pytest.raises(FileNotFoundError):
        PipelineSpec.parse(tmp_path / "none.json")


def test_a_missing_command_says_why_it_is_needed():
    refused("cmds is required: the image's entrypoint cannot be known outside Kubernetes", transform={"image": "x"})


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("s3_out", True, "write files to /pfs/out"),
        ("tf_job", {"tf_job": "{}"}, "KubernetesPodOperator"),
        ("determined", {"workspaces": ["a"]}, "from the code"),
        ("maximum_expected_uptime", "1h", "job_timeout"),
        ("dry_run", True, "pachy validate pipeline"),
    ],
)
def test_a_field_that_is_not_supported_is_refused_with_advice(field, value, advice):
    refused(f"'{field}' is not supported", advice, **{field: value})


def test_an_unknown_field_is_named_with_what_was_probably_meant():
    refused("unknown field 'datum_trys', did you mean 'datum_tries'?", datum_trys=3)
    refused(
        "transform.comand: unknown field 'comand', did you mean 'cmd'",
        transform={"image": "x", "cmd": ["x"], "comand": []},
    )
    refused("unknown field 'image' here; there is transform.image", image="x")
    refused("unknown field 'nonsense_x'; known here: ", nonsense_x=3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "input: required"),
        ({"pfs": {"repo": "a", "glob": "/"}, "cross": []}, "exactly one kind"),
        ({"s4": {}}, "input.s4: unknown field 's4'"),
        ("images", "not str"),
        ({"cross": {"repo": "a"}}, "takes a list"),
        ({"cross": []}, "input.cross: "),
        ({"pfs": {"repo": "a"}}, "glob is required"),
        ({"pfs": {"glob": "/"}}, "repo"),
        ({"pfs": {"repo": "a", "glob": "/[z"}}, "glob"),
        ({"pfs": {"repo": "out", "glob": "/"}}, "may not be named 'out'"),
        ({"pfs": {"repo": "a", "name": "x/y", "glob": "/"}}, "directory under /pfs"),
        ({"pfs": {"repo": "a", "glob": "/", "lazy": True, "empty_files": True}}, "choose one"),
        ({"pfs": {"repo": "a", "glob": "/*", "join_on": "$1"}}, "uses group 1, but the glob '/*' has 0"),
        ({"pfs": {"repo": "a", "glob": "/", "s3": True}}, "no S3 gateway"),
        ({"pfs": {"repo": "a", "glob": "/", "project": "vision"}}, "no other projects"),
        ({"pfs": {"repo": "a", "glob": "/", "repo_type": "meta"}}, "metadata of jobs"),
    ],
)
def test_an_input_that_cannot_be_is_refused(value, words):
    refused(words, input=value)


def test_names_are_unique_in_a_cross_but_not_in_a_union():
    leaf = {"pfs": {"repo": "a", "glob": "/*"}}
    refused("inputs 'a' of a cross would share a directory", input={"cross": [leaf, leaf]})
    refused("share a directory", input={"union": [leaf, {"cross": [leaf, {"union": [leaf]}]}]})
    parse(input={"union": [leaf, leaf]})
    parse(input={"cross": [{"union": [leaf, leaf]}, {"pfs": {"repo": "b", "glob": "/*"}}]})


def test_a_pipeline_may_not_read_its_own_output():
    refused("which the pipeline itself writes", input={"pfs": {"repo": "edges", "glob": "/"}})
    parse(input={"pfs": {"repo": "edges", "branch": "old", "glob": "/"}})


@pytest.mark.parametrize("name", ["", "a b", "x" * 64, "a/b"])
def test_a_pipeline_name_is_a_repo_name(name):
    with pytest.raises(InvalidSpec, match=r"pipeline\.name"):
        PipelineSpec.parse(minimal(pipeline={"name": name}))


def test_all_problems_are_told_at_once():
    with pytest.raises(InvalidSpec) as raised:
        parse(datum_tries=-1, datum_timeout="soon", reprocess_spec="never")
    assert len(str(raised.value).splitlines()) == 3

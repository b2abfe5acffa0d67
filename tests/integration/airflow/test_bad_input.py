"""What users get wrong, inside a real Airflow: the log says it in one sentence, soon, and nothing is left behind."""

import json
import os
import socket
from pathlib import Path

import pytest
from support.dag_runs import start_airflow

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
NAMES = ("empty", "a b", "st*r", "[x]", "é", "-dash", "q?", "back\\slash", "$HOME", "'quote", 'dou"ble', "#")


def _connection(metadata="", **extra):
    login = extra.pop("login", None)
    return json.dumps(
        {"conn_type": "pachy", "login": login, "password": extra.pop("password", None)}
        | {"extra": extra | ({"metadata": metadata} if metadata else {})}
    )


@pytest.fixture(scope="module")
def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, closed_port):
    home = tmp_path_factory.mktemp("airflow")
    metadata = f"sqlite:///{home}/other.db"
    s3 = os.environ.get("PACHY_TEST_S3_ENDPOINT", "http://no.s3.invalid")
    bucket = os.environ.get("PACHY_TEST_S3_BUCKET", "pachy-test")
    key = os.environ.get("AWS_ACCESS_KEY_ID", "key")
    nobody = f"127.0.0.1:{closed_port}"
    connections = {
        "WRONG_KEY": _connection(
            metadata, login=key, password="wrong", storage=f"s3://{bucket}/bad-input", endpoint_url=s3
        ),
        "NO_S3": _connection(
            metadata, login="key", password="x", storage="s3://bucket/x", endpoint_url=f"http://{nobody}"
        ),
        "NO_DATABASE": _connection(f"postgresql://ada:s3cret@{nobody}/pachy", storage=f"file://{home}/other"),
        "HALF_A_KEY": _connection(metadata, login="key", storage="s3://bucket/x"),
    }
    process = start_airflow(
        home, HERE / "bad_dags", **{f"AIRFLOW_CONN_{name}": value for name, value in connections.items()}
    )
    yield process
    process.close()


@pytest.fixture
def odd(pfs):
    """The repo `odd`: names that shells, globs and URLs read as something else, and an empty file."""
    if not any(repo.name == "odd" for repo in pfs.list_repos()):
        pfs.create_repo("odd")
        with pfs.commit("odd@master") as commit:
            for name in NAMES:
                commit.put_file(f"/{name}", b"" if name == "empty" else name.encode())
    return pfs


def refused(airflow, pfs, dag):
    """The log of a run that fails and leaves nothing half-done."""
    run = airflow.run(dag)
    assert run.state == "failed"
    assert "direct cause of" not in run.log, "the tracebacks of our drivers are noise in a task log"
    open_commits = [info for repo in pfs.list_repos() for info in pfs.list_commits(repo.name) if info.state == "open"]
    assert open_commits == []
    assert [branch.head for repo in pfs.list_repos() if repo.name == dag for branch in pfs.list_branches(dag)] in (
        [],
        [None],
    )
    return run


def test_names_that_mean_something_to_shells_and_globs_pass_through(airflow, odd):
    run = airflow.run("odd_names")
    assert run.state == "success", run.log[-4000:]
    found = {info.path[1:]: odd.get_file(f"odd_names@master:{info.path}") for info in odd.list_file("odd_names@master")}
    assert found == {name: b"" if name == "empty" else name.encode() for name in NAMES}


@pytest.mark.parametrize(("dag", "word"), [("no_program", "no-such-program"), ("no_working_dir", "/no/such/directory")])
def test_a_command_that_cannot_start_is_named(airflow, odd, dag, word):
    run = refused(airflow, odd, dag)
    assert f"could not be started ({word}" in run.log
    assert "name a program and a working_dir that exist" in run.log


def test_a_path_that_is_a_file_and_a_directory_is_a_collision(airflow, odd):
    run = refused(airflow, odd, "file_and_directory")
    assert "/x" in run.log
    assert "both a file and a directory" in run.log


def test_s3_that_does_not_answer(airflow, odd, closed_port):
    run = refused(airflow, odd, "no_s3")
    assert f"at http://127.0.0.1:{closed_port} got no answer" in run.log
    assert "check endpoint_url" in run.log


@pytest.mark.s3
@pytest.mark.skipif("PACHY_TEST_S3_ENDPOINT" not in os.environ, reason="no real S3 server: set PACHY_TEST_S3_ENDPOINT")
def test_s3_that_refuses_the_key(airflow, odd):
    run = refused(airflow, odd, "wrong_key")
    assert "was refused (SignatureDoesNotMatch" in run.log
    assert "check the access key" in run.log


def test_a_database_that_is_down_is_named_without_its_password(airflow, odd, closed_port):
    run = refused(airflow, odd, "no_database")
    assert f"ada:***@127.0.0.1:{closed_port}/pachy did not answer" in run.log
    assert "Check that the server" in run.log
    assert "s3cret" not in run.log


def test_half_a_credential_and_no_connection(airflow, odd):
    assert "half of an S3 credential" in refused(airflow, odd, "half_a_key").log
    assert "no_connection" in refused(airflow, odd, "no_connection").log


def test_the_connection_test_says_the_same(monkeypatch, closed_port, tmp_path):
    from airflow_pachy.hooks import PfsHook

    nobody = f"127.0.0.1:{closed_port}"
    for conn_id, text, connection in (
        ("x1", f"{nobody} got no answer", _connection(
            f"sqlite:///{tmp_path}/m.db", login="k", password="s", storage="s3://b/x", endpoint_url=f"http://{nobody}"
        )),
        ("x2", f"{nobody}/pachy did not answer", _connection(f"postgresql://ada:s3cret@{nobody}/pachy")),
        ("x3", "half of an S3 credential", _connection(login="k", storage="s3://b/x")),
        ("x4", "not a storage URL", _connection(f"sqlite:///{tmp_path}/m.db", storage="ftp://x")),
    ):  # fmt: skip
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection)
        works, message = PfsHook(conn_id).test_connection()
        assert not works
        assert text in message
        assert "s3cret" not in message

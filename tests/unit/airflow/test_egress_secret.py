"""The password of a database that a spec's egress keeps in a Kubernetes secret."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.operators import PfsEgressOperator
from airflow_pachy.operators.egress_secret import OTHER_WAYS
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines import egress

SECRET = {"name": "warehouse", "key": "password"}


@pytest.fixture
def pfs(tmp_path, monkeypatch):
    storage, metadata = (tmp_path / "objects").as_uri(), f"sqlite:///{tmp_path}/pachy.db"
    for name, value in {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__PACHY__NAMESPACE": "datums",
        "PACHY_STORAGE": storage,
        "PACHY_METADATA": metadata,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PACHYDERM_SQL_PASSWORD", raising=False)
    with Pfs.open(storage=storage, metadata=metadata) as pfs:
        pfs.create_repo("sums")
        pfs.put_file("sums@master:/days/1.csv", b"1\n")
        yield pfs


@pytest.fixture
def kubernetes(monkeypatch):
    """An API server that has one secret, in the namespace of datums, and what it was asked for."""
    asked: list[str] = []
    secret = {"kind": "Secret", "data": {"password": base64.b64encode(b"s3cret").decode(), "user": "eA=="}}
    answers = {"warehouse": (200, secret), "locked": (403, {"message": "forbidden"}), "odd": (500, {"message": "oh"})}

    class Api(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = answers.get(self.path.rpartition("/")[2], (404, {"message": "not found"}))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    kube_config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kube_config)}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_FARM", json.dumps(connection))
    yield asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def copied(monkeypatch):
    """The passwords with which commits were copied."""
    used: list[str | None] = []
    real = egress.egress_commit

    def copy(pfs, commit, target, **given):
        used.append(given["password"])
        return real(pfs, commit, egress.parse_egress("memory://copied"))

    monkeypatch.setattr(egress, "egress_commit", copy)
    return used


def run(url="postgresql://loader@warehouse/shop", **arguments):
    database = {"url": url, "secret": SECRET | arguments.pop("secret", {})}
    PfsEgressOperator(task_id="egress", commit="sums@master", egress={"sql_database": database}, **arguments).execute(
        {}
    )


@pytest.mark.parametrize("connection", [None, "farm"])
def test_it_is_read_where_datums_run(pfs, kubernetes, copied, connection):
    run(kubernetes_conn_id=connection)
    assert copied == ["s3cret"]
    assert kubernetes == ["/api/v1/namespaces/datums/secrets/warehouse"]


def test_it_is_not_read_where_the_password_is_known(pfs, kubernetes, copied, monkeypatch):
    run("postgresql://loader:own@warehouse/shop")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "password": "of connection"}))
    run(egress_conn_id="warehouse")
    monkeypatch.setenv("PACHYDERM_SQL_PASSWORD", "of environment")
    run()
    assert (copied, kubernetes) == ([None, "of connection", None], [])


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (
            {"name": "gone"},
            f"'gone' in namespace datums does not exist; create it with a key 'password', or {OTHER_WAYS}",
        ),
        ({"name": "locked"}, "may not be read: .*forbidden.*rbac-egress.yaml, or give the password"),
        ({"key": "pass"}, "'warehouse' in namespace datums has no key 'pass'; it has password, user"),
    ],
)
def test_what_is_wrong_with_it_is_said(pfs, kubernetes, copied, secret, words):
    with pytest.raises(AirflowFailException, match=words):
        run(secret=secret)
    assert copied == []


def test_a_server_that_fails_is_tried_again(pfs, kubernetes, copied):
    with pytest.raises(Exception, match=r"cannot be read \(500\)") as failed:
        run(secret={"name": "odd"})
    assert not isinstance(failed.value, AirflowFailException)


def test_without_kubernetes_the_other_ways_are_named(pfs, copied, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(tmp_path / "none")}}
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=r"there is no Kubernetes to ask .*egress_conn_id"):
        run()

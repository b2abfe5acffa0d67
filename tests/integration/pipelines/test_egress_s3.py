"""Egress to a bucket of a real S3 server: the oldest target of Pachyderm's, and the one that most specs name."""

from __future__ import annotations

import json

import pytest

from airflow_pachy.errors import Denied, Unavailable
from airflow_pachy.hooks.airflow_errors import AirflowFailException
from airflow_pachy.operators import PfsEgressOperator
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects import open_store
from airflow_pachy.pipelines.egress import egress_commit, parse_egress

pytestmark = pytest.mark.s3

# More than one part of a multipart upload.
LARGE = bytes(range(256)) * (20 << 12)


@pytest.fixture
def pfs(tmp_path, monkeypatch):
    storage, metadata = f"file://{tmp_path}/store", f"sqlite:///{tmp_path}/pachy.db"
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("PACHY_STORAGE", storage)
    monkeypatch.setenv("PACHY_METADATA", metadata)
    with Pfs.open(storage, metadata) as client:
        client.create_repo("sums")
        put(client, {"/large": LARGE, "/days/mon tag/ä+b.csv": b"1\n", "/empty": b""})
        yield client


def put(pfs, files, delete=()):
    with pfs.commit("sums@master") as commit:
        for path in delete:
            commit.delete_file(path)
        for path, content in files.items():
            commit.put_file(path, content)


@pytest.fixture
def bucket(real_s3):
    """What is below the target, by key."""
    store = open_store(f"{real_s3.url}/sums", s3=real_s3.s3)
    yield lambda: {info.key: store.get(info.key) for info in store.list_keys()}
    store.close()


def test_a_bucket_gets_what_changed_and_with_mirror_loses_what_is_gone(pfs, real_s3, bucket):
    target = parse_egress({"URL": f"{real_s3.url}/sums", "mirror": True})
    first = egress_commit(pfs, "sums@master", target, options=real_s3.s3)
    assert (first.files, first.size_bytes) == (3, len(LARGE) + 2)
    assert bucket() == {"large": LARGE, "days/mon tag/ä+b.csv": b"1\n", "empty": b""}
    put(pfs, {"/new": b"2"}, delete=["/days"])
    second = egress_commit(pfs, "sums@master", target, options=real_s3.s3)
    assert (second.files, second.deleted) == (1, 1)
    assert bucket() == {"large": LARGE, "new": b"2", "empty": b""}


def test_the_step_of_a_stage_uses_an_aws_connection(pfs, real_s3, bucket, monkeypatch):
    login, password = real_s3.s3["aws_access_key_id"], real_s3.s3["aws_secret_access_key"]
    extra = {"endpoint_url": real_s3.s3["endpoint_url"], "region_name": "us-east-1"}

    def connect(password):
        connection = {"conn_type": "aws", "login": login, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_REPORTS", json.dumps(connection))

    step = {"task_id": "egress", "commit": "sums@master", "egress_conn_id": "reports"}
    connect(password)
    done = PfsEgressOperator(egress={"URL": f"{real_s3.url}/sums"}, **step).execute({})
    assert done["files"] == len(bucket()) == 3
    connect("wrong")
    with pytest.raises(AirflowFailException, match="these credentials may write"):
        PfsEgressOperator(egress=f"{real_s3.url}/other", **step).execute({})


def test_a_bucket_that_is_not_there_says_so(pfs, real_s3):
    with pytest.raises((Unavailable, Denied), match=r"egress to s3://no-such-bucket-of-pachy/x failed: .*NoSuchBucket"):
        egress_commit(pfs, "sums@master", parse_egress("s3://no-such-bucket-of-pachy/x"), options=real_s3.s3)

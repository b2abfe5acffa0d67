"""Credentials for URLs: what each type of connection says, in the words of the source."""

from __future__ import annotations

import json

import pytest
from airflow.models.connection import Connection

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks.sources import source_options
from airflow_pachy.operators import PfsPutOperator
from airflow_pachy.pfs import Pfs


def options(conn_type: str, extra: dict | None = None, **fields: object) -> dict:
    return source_options(Connection("c", conn_type=conn_type, extra=json.dumps(extra or {}), **fields), find)


def find(conn_id: str) -> Connection:
    assert conn_id == "aws_other"
    return Connection(conn_id, conn_type="aws", login="key", password="secret")


def test_aws():
    found = options("aws", {"endpoint_url": "http://minio:9000"}, login="key", password="secret")
    assert found == {
        "endpoint_url": "http://minio:9000",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
    }


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, {}),
        ({"key_path": "/keys/k.json", "project": "p"}, {"token": "/keys/k.json", "project": "p"}),
        ({"keyfile_dict": '{"type": "service_account"}'}, {"token": {"type": "service_account"}}),
        ({"keyfile_dict": {"type": "service_account"}}, {"token": {"type": "service_account"}}),
        ({"extra__google_cloud_platform__key_path": "/old"}, {"token": "/old"}),
        ({"is_anonymous": True}, {"token": "anon"}),
        ({"key_path": "/k", "endpoint_url": "http://gcs:9023"}, {"token": "/k", "endpoint_url": "http://gcs:9023"}),
    ],
)
def test_google(extra, expected):
    assert options("google_cloud_platform", extra) == expected


def test_a_google_key_that_is_no_json_is_named():
    with pytest.raises(InvalidArgument, match="connection 'c': its keyfile_dict is not JSON"):
        options("google_cloud_platform", {"keyfile_dict": "{"})


def test_what_google_cannot_be_asked_for_is_not_ignored():
    with pytest.raises(InvalidArgument, match="'c' has impersonation_chain, which put_url cannot use; give it"):
        options("google_cloud_platform", {"impersonation_chain": "other@p.iam.gserviceaccount.com"})


@pytest.mark.parametrize(
    ("fields", "extra", "expected"),
    [
        ({"login": "acc", "password": "k"}, {}, {"account_name": "acc", "account_key": "k"}),
        ({"login": "acc"}, {"sas_token": "s"}, {"account_name": "acc", "sas_token": "s"}),
        ({"login": "acc", "password": "k"}, {"connection_string": "cs"}, {"connection_string": "cs"}),
        (
            {"login": "app", "password": "pw", "host": "https://acc.blob.core.windows.net"},
            {"tenant_id": "t"},
            {"account_name": "acc", "tenant_id": "t", "client_id": "app", "client_secret": "pw"},
        ),
        ({"host": "acc", "password": "k"}, {}, {"account_name": "acc", "account_key": "k"}),
        ({"login": "acc"}, {"shared_access_key": "k"}, {"account_name": "acc", "account_key": "k"}),
        (
            {"login": "acc", "password": "k", "host": "http://azurite:10000/acc"},
            {},
            {"connection_string": "AccountName=acc;AccountKey=k;BlobEndpoint=http://azurite:10000/acc"},
        ),
        (
            {"host": "https://acc.blob.core.windows.net/"},
            {"managed_identity_client_id": "m"},
            {"account_name": "acc", "managed_identity_client_id": "m"},
        ),
    ],
)
def test_azure(fields, extra, expected):
    assert options("wasb", extra, **fields) == expected


def test_web_and_sftp():
    assert options("http", {"headers": {"X-Token": "t"}}, login="me", password="pw") == {
        "headers": {"X-Token": "t", "Authorization": "Basic bWU6cHc="}
    }
    assert options("sftp", {"key_file": "/k"}, login="me", port=2222) == {
        "username": "me",
        "port": 2222,
        "key_filename": "/k",
    }


def test_another_root():
    found = options(
        "pachy",
        {"storage": "s3://bucket/pachy", "metadata": "postgresql://host/db", "aws_conn_id": "aws_other"},
    )
    assert (found["storage"], found["metadata"]) == ("s3://bucket/pachy", "postgresql://host/db")
    assert found["s3"]["aws_access_key_id"] == "key"
    with pytest.raises(InvalidArgument, match="'c' does not say where both files and metadata"):
        options("pachy", {"storage": "s3://bucket/pachy"})


def test_a_connection_of_another_kind():
    with pytest.raises(InvalidArgument, match=r"'c' is of type 'postgres', which says nothing about URLs; types.*wasb"):
        options("postgres")


def test_the_put_operator_looks_it_up(tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_STORAGE", f"file://{tmp_path}/store")
    monkeypatch.setenv("PACHY_METADATA", f"sqlite:///{tmp_path}/db")
    other = {"storage": f"file://{tmp_path}/other", "metadata": f"sqlite:///{tmp_path}/other.db"}
    with Pfs.open(**other) as pfs:
        pfs.create_repo("raw")
        pfs.put_file("raw@master:/a", b"from another root")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps({"conn_type": "pachy", "extra": other}))
    with Pfs.open() as pfs:
        pfs.create_repo("here")
        put = PfsPutOperator(
            task_id="put",
            destination="here@master:/a",
            url="pfs://raw/master/a",
            source_conn_id="elsewhere",
            append=True,
        )
        put.execute({})
        put.execute({})
        assert pfs.get_file("here@master:/a") == b"from another root" * 2

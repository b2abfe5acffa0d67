"""Reading `pachy` connections."""

import json

import pytest
from airflow.sdk import Connection

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks.settings import aws_connection_id, from_connection


def connection(conn_id="pachy_default", *, login=None, password=None, extra=None):
    return Connection(conn_id=conn_id, conn_type="pachy", login=login, password=password, extra=json.dumps(extra or {}))


def test_every_field_arrives():
    settings = from_connection(
        connection(
            login="key",
            password="secret",
            extra={
                "storage": "s3://bucket/prefix",
                "metadata": "postgresql://u:p@h/db",
                "endpoint_url": "http://minio:9000",
                "region_name": "eu-central-1",
                "verify": "/ca.pem",
                "runner": "kubernetes",
                "namespace": "data",
                "worker_secret": "s3",
                "principal": "user:ada",
            },
        )
    )
    assert settings.storage == "s3://bucket/prefix"
    assert settings.is_s3
    assert settings.metadata == "postgresql://u:p@h/db"
    assert settings.s3 == {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "endpoint_url": "http://minio:9000",
        "region_name": "eu-central-1",
        "verify": "/ca.pem",
    }
    assert (settings.runner, settings.namespace, settings.worker_secret) == ("kubernetes", "data", "s3")
    assert settings.principal == "user:ada"


def test_an_empty_connection_leaves_everything_to_the_environment():
    settings = from_connection(connection(extra={"storage": "", "verify": "", "runner": None}))
    assert (settings.storage, settings.metadata, dict(settings.s3), settings.runner) == (None, None, {}, "auto")


def test_an_aws_connection_gives_credentials_and_our_own_fields_win():
    ours = connection(extra={"aws_conn_id": "aws", "endpoint_url": "http://ours"})
    aws = connection("aws", login="key", password="secret", extra={"region_name": "r", "endpoint_url": "http://theirs"})
    assert aws_connection_id(ours) == "aws"
    s3 = from_connection(ours, aws).s3
    assert s3 == {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "region_name": "r",
        "endpoint_url": "http://ours",
    }


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("False", False), (False, False), ("/ca.pem", "/ca.pem"), ("0", False)]
)
def test_verify_is_a_switch_or_a_path(value, expected):
    assert from_connection(connection(extra={"verify": value})).s3["verify"] == expected


def test_half_a_credential_is_refused_by_name():
    with pytest.raises(InvalidArgument, match="'pachy_default' has half of an S3 credential: fill in its secret"):
        from_connection(connection(login="key"))


def test_an_unknown_runner_is_refused():
    with pytest.raises(InvalidArgument, match="runner is 'docker'; use one of auto, kubernetes, local"):
        from_connection(connection(extra={"runner": "docker"}))


def test_an_extra_that_is_no_object_is_refused():
    broken = Connection(conn_id="c", conn_type="pachy", extra="not json")
    with pytest.raises(InvalidArgument, match="'c': its extra is not JSON"):
        from_connection(broken)


def test_secrets_do_not_show_in_the_settings_text():
    assert "hush" not in repr(from_connection(connection(login="key", password="hush")))

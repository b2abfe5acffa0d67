"""The quick session makes the clients that boto3 would make."""

from __future__ import annotations

import boto3
import pytest
from botocore.utils import parse_timestamp

from airflow_pachy.pfs.objects.s3_session import lean_session, parse_time

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


@pytest.mark.parametrize("region", [None, "us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "elsewhere"])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://s3.example.com", None])
def test_a_client_signs_and_addresses_as_one_of_boto3(region, endpoint, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = {**KEYS, "region_name": region, "endpoint_url": endpoint}
    quick = lean_session(endpoint_is_given=endpoint is not None).create_client("s3", **settings)
    usual = boto3.session.Session().client("s3", **settings)
    assert _described(quick) == _described(usual)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "sts.eu-west-1.amazonaws.com"), ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn")],
)
def test_other_services_are_there_for_credentials_that_need_them(given, region, host, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    client = lean_session(endpoint_is_given=given).create_client("sts", region_name=region, **KEYS)

    def catch(request, **_):
        raise _SentError(request)

    client.meta.events.register("before-send.sts", catch)
    with pytest.raises(_SentError) as caught:
        client.get_caller_identity()
    assert caught.value.args[0].url == f"https://{host}/"


def test_models_of_the_user_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    (tmp_path / "mine" / "2020-01-01").mkdir(parents=True)
    loader = lean_session(endpoint_is_given=True).get_component("data_loader")
    assert "mine" in loader.list_available_services("service-2")
    assert loader.load_service_model("s3", "service-2")["metadata"]["serviceId"] == "S3"


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Thu, 29 Feb 2024 23:59:59 GMT",
        "2026-11-22T01:43:21.123Z",
        "2026-11-22T01:43:21Z",
        "2026-11-22T01:43:21+01:00",
        "2026-11-22T01:43:21",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "1500000000.5",
        1500000000,
    ],
)
def test_times_are_those_that_botocore_reads(value):
    assert parse_time(value) == parse_timestamp(value)


@pytest.mark.parametrize("value", ["", "GMT", "yesterday", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_what_is_no_time_is_refused_as_botocore_refuses_it(value):
    with pytest.raises(ValueError, match=r"[Ii]nvalid timestamp"):
        parse_time(value)


class _SentError(Exception):
    """Instead of sending anything."""


def _described(client):
    def catch(request, **_):
        raise _SentError(request)

    client.meta.events.register("before-send.s3", catch)
    with pytest.raises(_SentError) as caught:
        client.put_object(Bucket="bucket", Key="a key", Body=b"bytes")
    (sent,) = caught.value.args
    authorization = sent.headers["Authorization"].decode()
    algorithm, _, credential = authorization.partition(",")[0].partition(" Credential=")
    scope = credential.split("/")[2:]  # without the key and the day
    return client.meta.endpoint_url, client.meta.region_name, sent.url, algorithm, scope

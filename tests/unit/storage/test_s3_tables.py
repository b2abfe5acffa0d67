"""A client made from the tables that are kept is one made from botocore's own."""

from __future__ import annotations

import json
import os

import pytest
from botocore.loaders import Loader

from airflow_pachy.pfs.objects import s3_tables
from airflow_pachy.pfs.objects.s3_client import make_client
from airflow_pachy.pfs.objects.s3_session import lean_session
from airflow_pachy.pfs.objects.s3_settings import S3Settings

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "eu-central-1"}
READ = {s3_tables.SERVICE, s3_tables.RULES}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PACHY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "s3-tables.json"


@pytest.fixture
def read(monkeypatch):
    """Which of both tables were read whole."""
    names = []
    plain = Loader.load_data_with_path
    monkeypatch.setattr(
        Loader, "load_data_with_path", lambda self, name: (names.append(name), plain(self, name))[1], raising=True
    )
    return names


def _client(endpoint="https://s3.example.com", **given):
    session = lean_session(endpoint_is_given=endpoint is not None, **given)
    return session.create_client("s3", endpoint_url=endpoint, **KEYS)


def _sent(client, operation, arguments):
    """What would go over the wire."""
    requests = []

    def catch(request, **_):
        body = request.body.read() if hasattr(request.body, "read") else request.body
        requests.append((request.method, request.url, sorted(request.headers.items()), body))
        raise _SentError

    client.meta.events.register("before-send.s3", catch)
    with pytest.raises(_SentError):
        getattr(client, operation)(**arguments)
    return [
        (method, url, [pair for pair in head if pair[0] not in _VARY], body) for method, url, head, body in requests
    ]


class _SentError(Exception):
    pass


_VARY = {"X-Amz-Date", "Authorization", "amz-sdk-invocation-id"}
REQUESTS = [
    ("put_object", {"Bucket": "b", "Key": "a/ä", "Body": b"1", "IfNoneMatch": "*", "Metadata": {"x": "y"}}),
    ("put_object", {"Bucket": "b", "Key": "k", "Body": b"", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "id"}),
    ("get_object", {"Bucket": "b.with.dots", "Key": "k", "Range": "bytes=1-2", "RequestPayer": "requester"}),
    ("head_object", {"Bucket": "b", "Key": "k"}),
    ("list_objects_v2", {"Bucket": "b", "Prefix": "p/", "StartAfter": "p/a"}),
    ("delete_objects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}], "Quiet": True}}),
    ("head_bucket", {"Bucket": "b"}),
]


@pytest.mark.parametrize("endpoint", ["https://s3.example.com", None])
def test_requests_are_the_same(endpoint, cache, read):
    whole = _client(endpoint)
    _client(endpoint, tables=True)
    assert cache.is_file()
    read.clear()
    kept = _client(endpoint, tables=True)
    assert READ.isdisjoint(read)
    for operation, arguments in REQUESTS:
        assert _sent(kept, operation, dict(arguments)) == _sent(whole, operation, dict(arguments))


def test_what_answers_hold_is_described_in_the_same_way(cache):
    whole, _, kept = (_client(tables=tables) for tables in (False, True, True))
    assert cache.is_file()
    assert kept.meta.service_model.metadata == whole.meta.service_model.metadata
    for name in s3_tables.OPERATIONS:
        one, other = (client.meta.service_model.operation_model(name) for client in (whole, kept))
        for shape in ("input_shape", "output_shape"):
            assert _described(getattr(one, shape)) == _described(getattr(other, shape))
        assert one.http == other.http
        assert one.auth == other.auth
        assert one.http_checksum == other.http_checksum
        assert [shape.name for shape in one.error_shapes] == [shape.name for shape in other.error_shapes]


def _described(shape, above=()):
    if shape is None or shape.name in above:
        return None if shape is None else shape.name
    deeper = (*above, shape.name)
    below = {name: _described(member, deeper) for name, member in getattr(shape, "members", {}).items()}
    for part in ("member", "key", "value"):
        if hasattr(shape, part):
            below[f"<{part}>"] = _described(getattr(shape, part), deeper)
    return (shape.type_name, dict(shape.serialization), dict(shape.metadata), below)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{}", b'{"of": [], "tables": {}}', b'{"of": 1}', b"\xff"])
def test_what_cannot_be_used_is_made_anew(body, cache, read):
    cache.parent.mkdir()
    cache.write_bytes(body)
    _client(tables=True)
    assert set(read) >= READ
    read.clear()
    _client(tables=True)
    assert READ.isdisjoint(read)
    assert os.listdir(cache.parent) == [cache.name]


def test_another_botocore_is_read_anew(cache, read):
    _client(tables=True)
    document = json.loads(cache.read_bytes())
    document["of"][-1][-1] += 1
    cache.write_text(json.dumps(document))
    read.clear()
    _client(tables=True)
    assert set(read) >= READ


def test_tables_of_somebody_else_are_not_believed(cache, read, monkeypatch):
    _client(tables=True)
    read.clear()
    monkeypatch.setattr(os, "getuid", lambda: -1)
    _client(tables=True)
    assert set(read) >= READ


def test_a_description_of_the_users_own_is_read(cache, tmp_path, monkeypatch, read):
    _client(tables=True)
    (tmp_path / "s3").mkdir()
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    read.clear()
    _client(tables=True)
    assert set(read) >= READ


def test_without_room_for_it_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PACHY_CACHE", str(tmp_path / "file" / "cache"))
    assert _client(tables=True).meta.service_model.service_name == "s3"


def test_a_client_can_do_everything_unless_it_is_to_be_made_of_the_tables(cache):
    settings = S3Settings(endpoint_url="http://127.0.0.1:9", **KEYS)
    make_client(settings, tables=True)
    assert cache.exists()
    assert not hasattr(make_client(settings, tables=True), "create_multipart_upload")
    assert make_client(settings).create_multipart_upload, "as egress needs it"

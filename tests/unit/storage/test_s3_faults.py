"""S3 on a bad day: throttling, resets, silence, bodies that break off, tokens that end. And what each PUT carries."""

from __future__ import annotations

import boto3
import pytest

from airflow_pachy.errors import (
    InvalidArgument,
    ObjectExists,
    ObjectNotFound,
    StoreDenied,
    StoreUnavailable,
    StoreUnfit,
)
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.objects import new_ulid, open_store, probe


@pytest.fixture
def make_store(proxy, moto_settings):
    stores = []

    def make(**settings):
        given = moto_settings | {"endpoint_url": proxy.url, "max_attempts": 3} | settings
        stores.append(open_store(f"s3://bucket/{new_ulid()}", s3=given))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.mark.parametrize("fault", ["slow down", "error", "reset"])
def test_passing_faults_are_not_noticed(proxy, make_store, fault):
    store = make_store()
    store.put("a", b"before")
    for method, act in (
        ("PUT", lambda: store.put("a", b"0123456789")),
        ("GET", lambda: store.get("a", offset=2, length=3)),
        ("HEAD", lambda: store.head("a")),
        ("GET", lambda: list(store.list_keys())),
        ("POST", lambda: store.delete(["a"])),
    ):
        proxy.fail(method, fault, fault)
        act()
        assert not proxy.faults[method]
    assert list(store.list_keys()) == []


def test_the_client_can_learn_the_pace_that_a_store_allows(proxy, make_store):
    store = make_store(retry_mode="adaptive")
    proxy.fail("PUT", "error")
    store.put("a", b"x")
    assert proxy.count("PUT") == 2


def test_throttling_that_does_not_end_is_told_as_such(proxy, make_store):
    store = make_store()
    proxy.fail("PUT", *["slow down"] * 3)
    with pytest.raises(StoreUnavailable, match=r"too much to do \(SlowDown: Please reduce.*retry_mode to adaptive"):
        store.put("a", b"x")
    assert proxy.count("PUT") == 3, "max_attempts counts all tries"


def test_a_server_that_never_answers_is_given_up_after_one_read_timeout(proxy, make_store):
    store = make_store(read_timeout=0.2)
    proxy.fail("GET", "hang", "hang", "hang")
    with pytest.raises(StoreUnavailable, match=r"took the request and then said nothing.*read_timeout"):
        store.get("a")
    assert proxy.count("GET") == 1


def test_a_server_that_falls_silent_is_asked_max_attempts_times(proxy, make_store):
    store = make_store(read_timeout=0.2)
    store.put("a", b"x")
    proxy.fail("GET", *["hang"] * 9)
    with pytest.raises(StoreUnavailable, match="said nothing"):
        store.get("a")
    assert proxy.count("GET") == 3
    proxy.fail("GET", "hang")
    assert store.get("a") == b"x"


def test_a_body_that_breaks_off_is_read_again_but_not_for_ever(proxy, make_store):
    store = make_store()
    store.put("a", b"0123456789")
    proxy.fail("GET", "truncated", "truncated")
    assert store.get("a") == b"0123456789"
    proxy.fail("GET", *["truncated"] * 3)
    with pytest.raises(StoreUnavailable):
        store.get("a")


@pytest.mark.parametrize("ours", [True, False], ids=["as they are", "as botocore gives them"])
def test_bytes_are_read_into_memory_that_is_there(proxy, make_store, monkeypatch, ours):
    if not ours:  # as libraries might be that keep their response elsewhere
        monkeypatch.setattr("airflow_pachy.pfs.objects.s3_body._responses", lambda body: (None, None))
    store = make_store(read_timeout=0.5)
    store.put("a", b"0123456789")
    memory = bytearray(b"." * 12)
    assert store.get_into(memoryview(memory)[1:5], "a", 2) == 4
    assert memory == b".2345......."
    assert store.get_into(memoryview(memory)[5:], "a", 6) == 4, "the object ends there"
    assert memory == b".23456789..."
    assert store.get_into(memoryview(memory), "a", 10) == 0
    for fault in ("truncated", "stalled", "slow down"):
        proxy.fail("GET", fault)
        assert store.get_into(memoryview(memory)[:10], "a", 0) == 10
        assert memory == b"0123456789.."
        memory[:10] = bytes(10)
    before = proxy.count("GET")
    proxy.fail("GET", *["truncated"] * 3)
    with pytest.raises(StoreUnavailable):
        store.get_into(memoryview(memory)[:10], "a", 0)
    assert proxy.count("GET") == before + 3
    with pytest.raises(ObjectNotFound):
        store.get_into(memoryview(memory), "b", 0)


def test_connections_that_were_read_from_are_used_again(proxy, make_store):
    store = make_store()
    store.put("a", b"0123456789")
    memory = memoryview(bytearray(4))
    proxy.clients.clear()
    for _ in range(5):
        store.get_into(memory, "a", 3)
    assert len(proxy.clients) == 1


def test_a_create_only_put_whose_answer_is_lost_finds_its_own_object(proxy, make_store):
    store = make_store()
    proxy.fail("PUT", "lost answer")
    store.put("a", b"ours", if_absent=True)
    assert store.get("a") == b"ours"
    assert proxy.count("PUT") == 2
    with pytest.raises(ObjectExists):
        store.put("a", b"theirs", if_absent=True)


def test_expired_credentials_are_told_with_what_to_do(proxy, make_store):
    store = make_store(aws_session_token="old")
    proxy.fail("PUT", "expired")
    with pytest.raises(StoreDenied, match=r"have expired \(ExpiredToken.*new aws_session_token.*use a role"):
        store.put("a", b"x")
    assert proxy.count("PUT") == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
        (
            {"sse": "aws:kms", "sse_kms_key_id": "alias/pachy"},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/pachy"},
        ),
    ],
)
def test_every_object_is_encrypted_as_asked(tmp_path, moto_settings, settings, expected):
    prefix = new_ulid()
    with Pfs.open(f"s3://bucket/{prefix}", f"sqlite:///{tmp_path / 'pachy.db'}", s3=moto_settings | settings) as pfs:
        pfs.create_repo("images")
        with pfs.commit("images@master") as commit:
            commit.put_file("/small", b"x")
            commit.put_file("/large", b"y" * 3_000_000)
        pfs.put_file("images@master:/small", b"z", append=True)
        assert pfs.get_file("images@master:/small") == b"xz"
    client = boto3.client("s3", **moto_settings)
    keys = [one["Key"] for one in client.list_objects_v2(Bucket="bucket", Prefix=f"{prefix}/")["Contents"]]
    assert len(keys) >= 5
    for key in keys:
        head = client.head_object(Bucket="bucket", Key=key)
        assert {name: head.get(name) for name in expected} == expected, key


def test_the_requester_pays_for_every_request(proxy, make_store):
    probe(make_store(requester_pays=True))
    assert {method for method, _, _ in proxy.requests} == {"PUT", "GET", "HEAD", "POST"}
    for method, path, headers in proxy.requests:
        assert headers.get("x-amz-request-payer") == "requester", (method, path)


def test_bulk_deletes_are_repeated_for_the_keys_that_were_left_over(make_store, monkeypatch):
    store = make_store()
    monkeypatch.setattr("airflow_pachy.pfs.objects.s3.FIRST_PAUSE_SECONDS", 0)
    for key in ("a", "b"):
        store.put(key, b"x")
    real, left = store._client.delete_objects, ["SlowDown", "InternalError"]

    def grudging(**arguments):
        keys = [one["Key"] for one in arguments["Delete"]["Objects"]]
        asked.append([key.rpartition("/")[2] for key in keys])
        if left:
            return {"Errors": [{"Key": keys[-1], "Code": left.pop(), "Message": "later"}]}
        return real(**arguments)

    asked = []
    monkeypatch.setattr(store._client, "delete_objects", grudging)
    store.delete(["a", "b"])
    assert asked == [["a", "b"], ["b"], ["b"]]
    left[:] = ["SlowDown"] * 3
    with pytest.raises(StoreUnavailable, match=r"delete s3://bucket/.*/b .*too much to do"):
        store.delete(["a", "b"])
    left[:] = ["AccessDenied"]
    with pytest.raises(StoreDenied, match="has s3:DeleteObject"):
        store.delete(["a", "b"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sse": "rot13"}, "sse cannot be 'rot13': use one of AES256, aws:kms"),
        ({"sse_kms_key_id": "alias/x"}, "sse_kms_key_id needs sse = aws:kms"),
        ({"sse": "AES256", "sse_kms_key_id": "x"}, "sse_kms_key_id needs sse = aws:kms"),
        ({"read_timeout": "soon"}, "read_timeout cannot be 'soon'"),
        ({"connect_timeout": 0}, "connect_timeout cannot be 0: give seconds, more than 0"),
        ({"max_attempts": 0}, "max_attempts cannot be 0: give a number from 1"),
        ({"retry_mode": "eager"}, "use one of standard, adaptive"),
        ({"addressing_style": "vertical"}, "use one of auto, path, virtual"),
        ({"requester_pays": "maybe"}, "use true or false"),
        ({"verify": "/no/such/ca.pem"}, "no such file; give true, false, or the path of a CA bundle"),
        ({"endpoint_url": "s3.example.com"}, "http://host:port or https://host"),
        ({"external_id": "x"}, "external_id means nothing without role_arn"),
        ({"aws_session_token": "x", "aws_access_key_id": None, "aws_secret_access_key": None}, "without aws_access"),
        ({"aws_secret_access_key": None}, "half of an S3 credential: aws_secret_access_key is missing"),
        ({"profile_name": "nobody-has-this"}, "profile 'nobody-has-this' is not in the AWS configuration"),
        ({"endpoint": "http://x"}, "unknown S3 settings: endpoint; did you mean endpoint_url"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_asked(make_store, settings, told):
    with pytest.raises(InvalidArgument, match=told):
        make_store(**settings)


def test_secrets_are_not_repeated():
    with pytest.raises(InvalidArgument) as caught:
        open_store("s3://bucket", s3={"aws_secret_access_key": 1234})
    assert "1234" not in str(caught.value)


def test_a_role_is_assumed_with_the_keys_that_are_given(moto_server, moto_settings):
    host, port = moto_server
    settings = moto_settings | {
        "role_arn": "arn:aws:iam::123456789012:role/pachy",
        "external_id": "outside",
        "sts_endpoint_url": f"http://{host}:{port}",
    }
    store = open_store(f"s3://bucket/{new_ulid()}", s3=settings)
    store.put("a", b"x")
    used = store._client._request_signer._credentials.get_frozen_credentials()
    assert used.token
    assert used.access_key != "key"
    store.close()


def test_a_role_that_cannot_be_assumed_is_told(proxy, moto_settings):
    settings = moto_settings | {"role_arn": "arn:aws:iam::123456789012:role/pachy", "sts_endpoint_url": proxy.url}
    store = open_store("s3://bucket/x", s3=settings)
    proxy.fail("POST", "expired")
    with pytest.raises(StoreDenied, match=r"role for s3://bucket/x/a .*could not be assumed.*check role_arn"):
        store.get("a")
    store.close()


def test_a_web_identity_needs_its_token_file(tmp_path, moto_server, moto_settings):
    host, port = moto_server
    token = tmp_path / "token"
    token.write_text("web-identity-token")
    settings = {
        "endpoint_url": moto_settings["endpoint_url"],
        "region_name": "us-east-1",
        "role_arn": "arn:aws:iam::123456789012:role/pachy",
        "web_identity_token_file": str(token),
        "sts_endpoint_url": f"http://{host}:{port}",
    }
    store = open_store(f"s3://bucket/{new_ulid()}", s3=settings)
    store.put("a", b"x")
    assert store.get("a") == b"x"
    store.close()


class Weak:
    """A store that is not quite one: `flaws` says how."""

    def __init__(self, inner, *flaws):
        self._inner = inner
        self.flaws = flaws
        self.url = inner.url

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put(self, key, body, *, if_absent=False):
        self._inner.put(key, body, if_absent=if_absent and "overwrites" not in self.flaws)

    def get(self, key, *, offset=0, length=None):
        return self._inner.get(key) if "whole" in self.flaws else self._inner.get(key, offset=offset, length=length)

    def list_keys(self, prefix="", *, after=None):
        found = list(self._inner.list_keys(prefix, after=after))
        return iter(found[::-1] if "backwards" in self.flaws else found)

    def delete(self, keys):
        if "keeps" in self.flaws:
            raise StoreDenied("delete was refused; this principal lacks s3:DeleteObject")
        self._inner.delete(keys)


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ("overwrites", "If-None-Match: .*use a store with conditional writes"),
        ("whole", "range read of 3 bytes with 10 other bytes"),
        ("backwards", "lists new keys as .* instead of"),
    ],
)
def test_the_probe_names_what_a_store_lacks_and_cleans_up(make_store, flaw, told):
    store = make_store()
    with pytest.raises(StoreUnfit, match=told):
        probe(Weak(store, flaw))
    assert list(store.list_keys()) == []


def test_the_probe_names_everything_at_once(make_store):
    with pytest.raises(StoreUnfit, match=r"lacks 3 things.*\(1\).*If-None-Match.*\(2\).*range.*\(3\).*s3:DeleteObject"):
        probe(Weak(make_store(), "overwrites", "whole", "keeps"))


def test_missing_rights_alone_are_a_refusal(make_store):
    with pytest.raises(StoreDenied, match="s3:DeleteObject"):
        probe(Weak(make_store(), "keeps"))


def test_a_certificate_of_ones_own_authority_needs_its_bundle(tls_proxy, moto_settings):
    settings = moto_settings | {"endpoint_url": tls_proxy.url}
    strict = open_store(f"s3://bucket/{new_ulid()}", s3=settings)
    with pytest.raises(StoreUnavailable, match=r"SSLError.*set verify to the path of a CA bundle"):
        strict.put("a", b"x")
    strict.close()
    for verify in (tls_proxy.bundle, False):
        store = open_store(f"s3://bucket/{new_ulid()}", s3=settings | {"verify": verify})
        store.put("a", b"x", if_absent=True)
        assert store.get("a") == b"x"
        store.close()


def test_encrypted_objects_come_over_tls_too(tls_proxy, moto_settings):
    settings = moto_settings | {"endpoint_url": tls_proxy.url, "verify": tls_proxy.bundle, "sse": "AES256"}
    store = open_store(f"s3://bucket/{new_ulid()}", s3=settings)
    store.put("a", b"x")
    (put,) = (headers for method, _, headers in tls_proxy.requests if method == "PUT")
    assert put["x-amz-server-side-encryption"] == "AES256"
    store.close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"endpoint_url": "https://s3.example.com"}, "https://s3.example.com/bucket/"),
        ({"endpoint_url": "https://s3.example.com", "addressing_style": "virtual"}, "https://bucket.s3.example.com/"),
        ({"region_name": "us-east-1"}, "https://bucket.s3.amazonaws.com/"),
        ({"region_name": "eu-west-1", "addressing_style": "path"}, "https://s3.eu-west-1.amazonaws.com/bucket/"),
    ],
)
def test_addresses_are_of_the_style_that_is_asked_for(monkeypatch, settings, expected):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    store = open_store("s3://bucket", s3=keys | settings)
    url = store._client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "a"})
    assert url.startswith(f"{expected}a?")
    store.close()


def test_two_creators_in_each_others_way_try_again(make_store, monkeypatch):
    """S3 answers 409 when a PUT and another change of the key meet: neither of them need have written."""
    from botocore.exceptions import ClientError

    store = make_store()
    real, conflicts = store._client.put_object, [409, 409]

    def conflicting(**arguments):
        if conflicts:
            conflicts.pop()
            raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
        return real(**arguments)

    monkeypatch.setattr(store._client, "put_object", conflicting)
    store.put("a", b"x", if_absent=True)
    assert store.get("a") == b"x"


def test_encryption_that_a_store_does_not_offer_is_told(make_store, monkeypatch):
    from botocore.exceptions import ClientError

    store = make_store(sse="AES256")

    def refuse(**_):
        raise ClientError({"Error": {"Code": "InvalidRequest", "Message": "SSE needs https"}}, "PutObject")

    monkeypatch.setattr(store._client, "put_object", refuse)
    with pytest.raises(StoreUnfit, match=r"refuses put .*SSE needs https.*if sse is set"):
        store.put("a", b"x")

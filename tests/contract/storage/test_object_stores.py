"""Every store keeps the contract: memory, a directory, S3 in process (moto) and a real S3 server where there is one."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from airflow_pachy.errors import InvalidArgument, ObjectExists, StoreDenied, StoreUnavailable, StoreUnfit
from airflow_pachy.pfs.format import ensure_format
from airflow_pachy.pfs.objects import CountingStore, LocalStore, MemoryStore, new_ulid, open_store
from airflow_pachy.pfs.objects.s3_client import FirstContact
from airflow_pachy.testing.object_store import ObjectStoreContract

REAL = os.environ.get("PACHY_TEST_S3_ENDPOINT")
needs_real_s3 = pytest.mark.skipif(REAL is None, reason="PACHY_TEST_S3_ENDPOINT is not set")


def real_settings():
    return {
        "endpoint_url": REAL,
        "aws_access_key_id": os.environ.get("AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": os.environ.get("AWS_SECRET_ACCESS_KEY"),
        "region_name": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }


def real_bucket():
    bucket = os.environ.get("PACHY_TEST_S3_BUCKET", "pachy-test")
    client = boto3.client("s3", **real_settings())
    if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    return bucket


class TestMemoryStore(ObjectStoreContract):
    def make_store(self, tmp_path):
        return MemoryStore()


class TestLocalStore(ObjectStoreContract):
    def make_store(self, tmp_path):
        return LocalStore(tmp_path / "not there yet")


class TestCountingStore(ObjectStoreContract):
    def make_store(self, tmp_path):
        return CountingStore(MemoryStore())


class TestMotoStore(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, moto):
        self.settings = moto

    def make_store(self, tmp_path):
        return open_store(f"s3://bucket/{new_ulid()}", s3=self.settings)


@pytest.mark.s3
@needs_real_s3
class TestRealS3Store(ObjectStoreContract):
    def make_store(self, tmp_path):
        return open_store(f"s3://{real_bucket()}/contract/{new_ulid()}", s3=real_settings())


@pytest.mark.s3
@needs_real_s3
def test_wrong_credentials_are_named_with_what_to_do():
    bucket = real_bucket()
    for wrong in ({"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "nobody"}):
        store = open_store(f"s3://{bucket}/denied", s3=real_settings() | wrong)
        for ask in (lambda s=store: s.put("a", b"x"), lambda s=store: s.get("a"), lambda s=store: list(s.list_keys())):
            with pytest.raises(StoreDenied) as caught:
                ask()
            message = str(caught.value)
            assert bucket in message
            assert REAL in message
            assert "check the access key" in message


def test_a_missing_bucket_is_named(moto):
    store = open_store("s3://no-such-bucket/x", s3=moto)
    with pytest.raises(StoreUnfit, match=r"no-such-bucket does not exist.*create it"):
        store.put("a", b"x")


def test_a_create_only_put_whose_answer_was_lost_is_known_as_our_own(moto):
    store = open_store(f"s3://bucket/{new_ulid()}", s3=moto)
    send = store._client.put_object

    def send_twice(**arguments):
        send(**arguments)
        arguments["Body"].seek(0)
        return send(**arguments)  # what botocore does when the first answer never came

    store._client.put_object = send_twice
    store.put("a", b"ours", if_absent=True)
    assert store.get("a") == b"ours"
    with pytest.raises(ObjectExists):
        store.put("a", b"other", if_absent=True)
    assert store.get("a") == b"ours"


def test_a_body_that_breaks_off_is_asked_for_again(moto):
    store = open_store(f"s3://bucket/{new_ulid()}", s3=moto)
    store.put("a", b"0123456789")
    get, answers = store._client.get_object, []

    class Broken:
        def read(self):
            from botocore.exceptions import IncompleteReadError

            raise IncompleteReadError(actual_bytes=3, expected_bytes=10)

    def once_broken(**arguments):
        answers.append(arguments)
        return {"Body": Broken()} if len(answers) == 1 else get(**arguments)

    store._client.get_object = once_broken
    assert store.get("a") == b"0123456789"
    assert len(answers) == 2


@pytest.mark.timeout(60)  # a wrong address is told at once, not after all retries
def test_a_server_that_is_not_there_is_unavailable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    settings = {"endpoint_url": f"http://127.0.0.1:{port}", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    store = open_store("s3://bucket/x", s3=settings | {"region_name": "us-east-1"})
    with pytest.raises(StoreUnavailable, match=rf"bucket/x/a at http://127.0.0.1:{port}.*check endpoint_url"):
        store.get("a")


def test_an_endpoint_that_is_no_url_is_told():
    with pytest.raises(InvalidArgument, match=r"'nonsense'.*http://host:port"):
        open_store("s3://bucket/x", s3={"endpoint_url": "nonsense", "region_name": "us-east-1"})


class _NoS3(BaseHTTPRequestHandler):
    """A web server that has never heard of S3, such as a store's console on the port beside."""

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_a_web_server_that_is_no_s3_is_told_apart():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NoS3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    settings = {"endpoint_url": endpoint, "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    try:
        store = open_store("s3://bucket/x", s3=settings | {"region_name": "us-east-1"})
        with pytest.raises(StoreUnfit, match=rf"is {endpoint} an S3 service"):
            ensure_format(store)
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_was_there_is_waited_for():
    """What looks like a wrong address at the first request is a transient fault later."""
    seen = FirstContact()
    gone = EndpointConnectionError(endpoint_url="http://s3")
    with pytest.raises(EndpointConnectionError):
        seen.give_up(gone, attempts=2)
    seen.give_up(None, attempts=1)
    seen.give_up(gone, attempts=2)


@pytest.mark.parametrize("below", ["", "/x"])
def test_a_file_where_the_directory_should_be_is_told(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnfit, match=r"file.*cannot be made a directory"):
        ensure_format(open_store(f"{(tmp_path / 'file').as_uri()}{below}"))


def test_an_impossible_bucket_name_is_no_network_fault():
    settings = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    with pytest.raises(InvalidArgument, match="Invalid bucket name"):
        open_store("s3://b@d!/x", s3=settings).get("a")

"""What is sent to S3 is sent as it lies in memory, as often as it takes."""

import io

import pytest

from airflow_pachy.pfs.objects import new_ulid, open_store
from airflow_pachy.pfs.objects.s3_body import Body

DATA = bytes(range(256)) * 1000


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_body_is_a_file_that_gives_all_it_has_at_once_without_a_copy(kind):
    data = kind(DATA)
    body = Body(data)
    assert (len(body), bool(body), body.readable(), body.seekable()) == (len(DATA), True, True, True)
    given = body.read(16)
    assert given == DATA
    assert isinstance(given, memoryview)
    assert given.obj is (data.obj if kind is memoryview else data)
    assert (body.tell(), bytes(body.read(16))) == (len(DATA), b"")
    for place in ((0,), (-3, io.SEEK_END), (-1, io.SEEK_CUR), (9 * len(DATA),), (-5,)):
        expected = io.BytesIO(DATA)
        expected.seek(len(DATA) - 3)
        body.seek(len(DATA) - 3)
        assert body.seek(*place) == min(len(DATA), expected.seek(*place) if place[0] != -5 else 0)
    assert bytes(body.read()) == DATA


def test_what_is_not_counted_in_bytes_is_sent_as_bytes():
    body = Body(memoryview(DATA).cast("I"))
    assert len(body) == len(DATA)
    assert body.read() == DATA


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("if_absent", [False, True])
def test_a_put_that_is_repeated_sends_everything_again(proxy, moto_settings, kind, if_absent):
    store = open_store(f"s3://bucket/{new_ulid()}", s3=moto_settings | {"endpoint_url": proxy.url, "max_attempts": 4})
    proxy.fail("PUT", "reset", "error", "slow down")
    store.put("a", kind(DATA), if_absent=if_absent)
    assert proxy.count("PUT") == 4
    assert store.get("a") == DATA
    store.put("empty", kind(b""))
    assert store.get("empty") == b""
    store.close()

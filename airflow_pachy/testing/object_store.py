"""The contract suite of object stores: every promise of `airflow_pachy.pfs.objects.store`, as tests.

For a store of your own, in a test module:

    class TestMyStore(ObjectStoreContract):
        def make_store(self, tmp_path):
            return MyStore(...)

`make_store` is called for each test and must give an empty store.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_pachy.errors import InvalidArgument, ObjectExists, ObjectNotFound
from airflow_pachy.pfs.objects import ObjectStore, probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD_KEYS = (
    "a b",
    "a%2Fb",
    "p/ü/日本",
    "p/😀",
    "p/*?[x]{y}",
    "p/a+b&c=d",
    "p/.hidden",
    "p/%2E",
    'p/"q"\'',
    "p/~#;:@$,!()",
)


class ObjectStoreContract:
    """Subclass it and say how to make a store."""

    def make_store(self, tmp_path: Path) -> ObjectStore:
        """A new, empty store."""
        raise NotImplementedError("say in the subclass how to make an empty store")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ObjectStore]:
        """The store under test, emptied and closed afterwards."""
        store = self.make_store(tmp_path)
        yield store
        store.delete([info.key for info in store.list_keys()])
        store.close()

    def test_it_is_an_object_store(self, store: ObjectStore) -> None:
        """All methods are there."""
        assert isinstance(store, ObjectStore)
        assert "://" in store.url

    def test_it_passes_the_probe(self, store: ObjectStore) -> None:
        """And the probe cleans up behind itself."""
        probe(store)
        assert list(store.list_keys()) == []

    @pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 4096], ids=["empty", "one", "1 MiB"])
    def test_what_was_put_is_got(self, store: ObjectStore, body: bytes) -> None:
        """Whole, at once."""
        store.put("a/b", body)
        assert store.get("a/b") == body
        assert store.head("a/b").size_bytes == len(body)

    @pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
    def test_any_buffer_may_be_put(self, store: ObjectStore, kind: type[bytearray]) -> None:
        """Packs are bytearrays, slices are memoryviews."""
        store.put("a", kind(b"abc"))
        assert store.get("a") == b"abc"

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (8, 10, b"89"),
            (3, None, b"3456789"),
            (10, 1, b""),
            (99, 5, b""),
            (99, None, b""),
            (2, 0, b""),
        ],
    )
    def test_ranges(self, store: ObjectStore, offset: int, length: int | None, expected: bytes) -> None:
        """Shorter at the end, empty beyond it."""
        store.put("a", b"0123456789")
        assert store.get("a", offset=offset, length=length) == expected

    def test_a_missing_object_is_not_found(self, store: ObjectStore) -> None:
        """By name, whatever is asked of it."""
        store.put("a/b", b"x")
        for key in ("missing", "a", "a/b/c", "a/bc"):
            for ask in (store.get, store.head):
                with pytest.raises(ObjectNotFound, match="does not exist") as caught:
                    ask(key)
                assert key in str(caught.value)

    def test_a_put_replaces(self, store: ObjectStore) -> None:
        """Unless told otherwise."""
        store.put("a", b"old")
        store.put("a", b"new")
        assert store.get("a") == b"new"

    def test_create_only(self, store: ObjectStore) -> None:
        """The second one fails and changes nothing."""
        store.put("a/b", b"first", if_absent=True)
        with pytest.raises(ObjectExists, match="a/b"):
            store.put("a/b", b"second", if_absent=True)
        assert store.get("a/b") == b"first"

    def test_one_of_racing_creators_wins(self, store: ObjectStore) -> None:
        """Exactly one, and its bytes are kept."""

        def create(number: int) -> bool:
            try:
                store.put("race", b"%d" % number, if_absent=True)
            except ObjectExists:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(create, range(16)))
        assert sum(won) == 1
        assert store.get("race") == b"%d" % won.index(True)

    def test_listing_is_in_byte_order(self, store: ObjectStore) -> None:
        """With a directory's contents where the slash sorts."""
        keys = ["a-b", "a/1", "a/10", "a/2", "a0", "B", "z", "é", "\uffee", "😀"]
        for key in keys:
            store.put(key, b"x")
        assert [info.key for info in store.list_keys()] == sorted(keys, key=str.encode)

    def test_listing_by_prefix_and_after(self, store: ObjectStore) -> None:
        """A prefix is a string, `after` need not exist."""
        for key in ("a/1", "a/2", "a/3/x", "ab", "b"):
            store.put(key, b"x")
        cases = {
            ("a/", None): ["a/1", "a/2", "a/3/x"],
            ("a", None): ["a/1", "a/2", "a/3/x", "ab"],
            ("a/3", None): ["a/3/x"],
            ("a/", "a/1"): ["a/2", "a/3/x"],
            ("a/", "a/2zz"): ["a/3/x"],
            ("", "a/3"): ["a/3/x", "ab", "b"],
            ("a/", "b"): [],
            ("zz", None): [],
        }
        for (prefix, after), expected in cases.items():
            assert [info.key for info in store.list_keys(prefix, after=after)] == expected, (prefix, after)

    def test_listing_more_than_a_page(self, store: ObjectStore) -> None:
        """S3 gives 1,000 at a time."""
        keys = [f"many/{number:04d}" for number in range(1_100)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: store.put(key, b""), keys))
        assert [info.key for info in store.list_keys("many/")] == keys
        store.delete(keys)
        assert list(store.list_keys()) == []

    def test_sizes_and_times(self, store: ObjectStore) -> None:
        """Of head and listing, in UTC."""
        store.put("a", b"12345")
        (listed,) = store.list_keys()
        for info in (listed, store.head("a")):
            assert (info.key, info.size_bytes) == ("a", 5)
            assert info.modified.utcoffset() == timedelta(0) or info.modified.tzinfo is not None
            assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=5)

    def test_delete(self, store: ObjectStore) -> None:
        """What is there and what is not."""
        for key in ("a", "b/c", "d"):
            store.put(key, b"x")
        store.delete(["a", "b/c", "never", "a/below"])
        assert [info.key for info in store.list_keys()] == ["d"]
        store.delete([])

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys(self, store: ObjectStore, key: str) -> None:
        """Any character may be in a key."""
        store.put(key, key.encode())
        assert store.get(key) == key.encode()
        assert [info.key for info in store.list_keys()] == [key]
        store.delete([key])
        assert list(store.list_keys()) == []

    @pytest.mark.parametrize("key", ["", "/a", "a/", "a//b"])
    def test_what_is_no_key(self, store: ObjectStore, key: str) -> None:
        """Refused before it is sent."""
        with pytest.raises(InvalidArgument, match="not an object key"):
            store.put(key, b"x")

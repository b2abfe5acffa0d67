"""Egress: what is copied, what a second copy costs, and what bad targets and bad files are told."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, text

from airflow_pachy.errors import CommitOpen, InvalidArgument, InvalidSpec, Unavailable
from airflow_pachy.pfs import Pfs
from airflow_pachy.pipelines.egress import egress_commit, parse_egress

NAMES = itertools.count()


@pytest.fixture
def pfs():
    with Pfs.open(f"memory://egress-{next(NAMES)}", "sqlite://") as client:
        client.create_repo("out")
        yield client


def put(pfs, files, delete=()):
    with pfs.commit("out@master") as commit:
        for path in delete:
            commit.delete_file(path)
        for path, content in files.items():
            commit.put_file(path, content)


class TestFolders:
    @pytest.fixture
    def target(self, tmp_path):
        return parse_egress((tmp_path / "target").as_uri())

    @staticmethod
    def files(tmp_path):
        root = tmp_path / "target"
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

    def test_all_files_of_a_commit_are_copied(self, pfs, target, tmp_path):
        put(pfs, {"/a": "1", "/d/e f": "22", "/empty": ""})
        report = egress_commit(pfs, "out@master", target)
        assert self.files(tmp_path) == {"a": "1", "d/e f": "22", "empty": ""}
        assert (report.files, report.size_bytes, report.since) == (3, 3, None)

    def test_the_next_copy_writes_what_changed(self, pfs, target, tmp_path):
        put(pfs, {"/a": "1", "/b": "2"})
        egress_commit(pfs, "out@master", target)
        (tmp_path / "target" / "a").write_text("touched by others, and left alone")
        put(pfs, {"/b": "new", "/c": "3"})
        report = egress_commit(pfs, "out@master", target)
        assert report.files == 2
        assert self.files(tmp_path) == {"a": "touched by others, and left alone", "b": "new", "c": "3"}
        assert egress_commit(pfs, "out@master", target).files == 0
        assert egress_commit(pfs, "out@master", target, full=True).files == 3

    def test_files_that_left_the_commit_stay_unless_mirrored(self, pfs, tmp_path):
        url = (tmp_path / "target").as_uri()
        put(pfs, {"/a": "1", "/b": "2", "/c": "3"})
        egress_commit(pfs, "out@master", parse_egress(url))
        put(pfs, {}, delete=["/a"])
        assert egress_commit(pfs, "out@master", parse_egress(url)).deleted == 0
        assert "a" in self.files(tmp_path)
        put(pfs, {}, delete=["/b"])
        assert egress_commit(pfs, "out@master", parse_egress({"URL": url, "mirror": True})).deleted == 1
        assert set(self.files(tmp_path)) == {"a", "c"}

    def test_a_copy_that_failed_is_done_again_from_the_last_whole_one(self, pfs, target, tmp_path):
        put(pfs, {"/a": "1"})
        egress_commit(pfs, "out@master", target)
        put(pfs, {"/b": "2", "/d/c": "3"})
        (tmp_path / "target" / "d").write_text("in the way")
        with pytest.raises(OSError, match="d"):
            egress_commit(pfs, "out@master", target)
        (tmp_path / "target" / "d").unlink()
        assert egress_commit(pfs, "out@master", target).files == 2

    def test_a_removed_commit_is_no_ground_to_compare_with(self, pfs, target):
        put(pfs, {"/a": "1"})
        put(pfs, {"/b": "2"})
        egress_commit(pfs, "out@master", target)
        pfs.drop_commit("out@master")
        assert egress_commit(pfs, "out@master", target).files == 1

    def test_two_targets_are_two_notes(self, pfs, tmp_path):
        put(pfs, {"/a": "1"})
        for name in ("one", "two"):
            assert egress_commit(pfs, "out@master", parse_egress((tmp_path / name).as_uri())).files == 1

    def test_an_open_commit_is_refused(self, pfs, target):
        pfs.start_commit("out@master")
        with pytest.raises(CommitOpen, match="only finished commits"):
            egress_commit(pfs, str(pfs.inspect_branch("out@master").open_commit or "") and "out@master", target)

    def test_other_schemes_go_through_fsspec(self, pfs):
        import fsspec

        put(pfs, {"/d/a": "1", "/b": "2"})
        target = parse_egress("memory://egress-bucket/dir")
        assert egress_commit(pfs, "out@master", target).files == 2
        assert fsspec.filesystem("memory").cat("/egress-bucket/dir/d/a") == b"1"

    def test_a_scheme_without_a_file_system_says_what_to_install(self, pfs):
        put(pfs, {"/a": "1"})
        with pytest.raises(InvalidArgument, match="gcsfs"):
            egress_commit(pfs, "out@master", parse_egress("nosuch://bucket/dir"))


class TestTables:
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/shop.db"

    @pytest.fixture
    def shop(self, url):
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE sales (id INTEGER PRIMARY KEY, name TEXT, price FLOAT, paid BOOLEAN, day DATE)")
            )
            connection.execute(text("CREATE TABLE marks (at TIMESTAMP, what TEXT)"))
        yield engine
        engine.dispose()

    @staticmethod
    def rows(engine, query):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def target(self, url, kind="CSV", **more):
        columns = more.pop("columns", [])
        return parse_egress({"sql_database": {"url": url, "file_format": {"type": kind, "columns": columns}, **more}})

    def test_csv_files_become_rows_with_the_types_of_the_table(self, pfs, url, shop):
        put(pfs, {"/sales/1.csv": "1,tea,2.5,true,2024-05-01\n2,,3,f,\n", "/sales/2.csv": "3,jam,1,1,2024-05-02\n"})
        report = egress_commit(pfs, "out@master", self.target(url, columns=["id", "name", "price", "paid", "day"]))
        assert report.rows == 3
        assert self.rows(shop, "SELECT * FROM sales ORDER BY id") == [
            (1, "tea", 2.5, 1, "2024-05-01"),
            (2, None, 3.0, 0, None),
            (3, "jam", 1.0, 1, "2024-05-02"),
        ]

    def test_a_header_may_order_the_columns_otherwise(self, pfs, url, shop):
        put(pfs, {"/sales/1.csv": 'price,id,name\n2.5,1,"tea, green"\n'})
        egress_commit(pfs, "out@master", self.target(url, columns=["id", "name", "price"]))
        egress_commit(pfs, "out@master", self.target(url))
        assert self.rows(shop, "SELECT id, name, price FROM sales") == [(1, "tea, green", 2.5)]

    def test_json_and_parquet(self, pfs, url, shop, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        put(pfs, {"/sales/a": '{"id": 1, "name": "tea"}\n{"id": 2,\n "name": "jam"} {"id": 3}'})
        assert egress_commit(pfs, "out@master", self.target(url, "JSON")).rows == 3
        pq.write_table(
            pa.table({"at": [datetime(2024, 5, 1, 12, 30, tzinfo=UTC)], "what": ["x"]}), tmp_path / "m.parquet"
        )
        put(pfs, {"/marks/m": tmp_path / "m.parquet"}, delete=["/sales"])
        assert egress_commit(pfs, "out@master", self.target(url, "parquet")).rows == 1
        assert self.rows(shop, "SELECT what FROM marks") == [("x",)]
        assert len(self.rows(shop, "SELECT * FROM sales")) == 3

    def test_rows_are_replaced_or_appended(self, pfs, url, shop):
        put(pfs, {"/marks/a.csv": "2024-05-01T00:00:00,one\n"})
        columns = ["at", "what"]
        for _ in range(2):
            egress_commit(pfs, "out@master", self.target(url, columns=columns))
        assert len(self.rows(shop, "SELECT * FROM marks")) == 1
        egress_commit(pfs, "out@master", self.target(url, columns=columns, mode="append"))
        assert len(self.rows(shop, "SELECT * FROM marks")) == 2

    @pytest.mark.parametrize(
        ("path", "content", "message"),
        [
            ("/a.csv", "1\n", r"/a.csv lies in no directory"),
            ("/orders/a.csv", "1\n", r"no table 'orders'"),
            ("/sales/a.csv", "1,2,3\n", r"3 cells, but there are 2 columns: id, price"),
            ("/sales/a.csv", "1,2\nx,2\n", r"/sales/a.csv, row 2: 'x' is not a INTEGER for column 'id'"),
            ("/sales/a.csv", "1,2\n1,3\n", r"UNIQUE"),
        ],
    )
    def test_bad_files_name_themselves_and_change_nothing(self, pfs, url, shop, path, content, message):
        with shop.begin() as connection:
            connection.execute(text("INSERT INTO sales (id) VALUES (7)"))
        put(pfs, {path: content})
        with pytest.raises(InvalidArgument, match=message):
            egress_commit(pfs, "out@master", self.target(url, columns=["id", "price"]))
        assert self.rows(shop, "SELECT id FROM sales") == [(7,)]

    def test_an_unknown_column_and_half_a_json_object(self, pfs, url, shop):
        put(pfs, {"/sales/a": '{"id": 1, "colour": "red"}'})
        with pytest.raises(InvalidArgument, match="no column 'colour'; it has id, name"):
            egress_commit(pfs, "out@master", self.target(url, "JSON"))
        put(pfs, {"/sales/a": '{"id": 1'})
        with pytest.raises(InvalidArgument, match="ends inside a JSON object"):
            egress_commit(pfs, "out@master", self.target(url, "JSON"))

    def test_a_database_that_is_away(self, pfs):
        put(pfs, {"/sales/a.csv": "1\n"})
        url = "postgresql://ada@127.0.0.1:1/shop"
        with pytest.raises(Unavailable, match="did not answer") as error:
            egress_commit(pfs, "out@master", self.target(url, columns=["id"]), password="s3cret")
        assert "s3cret" not in str(error.value)

    def test_a_date_that_is_none(self, pfs, url, shop):
        put(pfs, {"/sales/a.csv": "1,2024-13-01\n"})
        with pytest.raises(InvalidArgument, match="'2024-13-01' is not a DATE"):
            egress_commit(pfs, "out@master", self.target(url, columns=["id", "day"]))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "exactly one of"),
        ({"URL": "s3://b/d", "sql_database": {"url": "sqlite://"}}, "exactly one of"),
        ({"URL": "bucket/dir"}, "has no scheme"),
        ({"URL": "s3:///dir"}, "names no bucket"),
        ({"sql_database": {"url": "sqlite://", "file_format": {"type": "XML"}}}, "file_format.type"),
        ({"sql_database": {"url": "sqlite://"}, "mirror": True}, "mirror is for folders"),
        ({"URL": "s3://b/d", "nope": 1}, "nope"),
    ],
)
def test_bad_targets(document, message):
    with pytest.raises(InvalidSpec, match=message):
        parse_egress(document)

from pathlib import Path

import pytest

from airflow_pachy.cli.sources import Source, find_sources, read_list
from airflow_pachy.errors import InvalidArgument, PathNotFound


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    path.write_bytes(b"12345")
    return str(path)


@pytest.mark.parametrize(
    ("target", "path"),
    [("", "/photo.png"), ("/", "/photo.png"), ("/2024/", "/2024/photo.png"), ("/2024/x.png", "/2024/x.png")],
)
def test_one_file_goes_to_the_path_or_into_it(photo: str, target: str, path: str) -> None:
    assert find_sources([photo], target, recursive=False) == [Source("file", photo, path, 5)]


def test_several_files_go_below_the_path(photo: str, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    other.touch()
    assert [s.path for s in find_sources([photo, str(other)], "/x", recursive=False)] == [
        "/x/photo.png",
        "/x/other.png",
    ]


def test_a_directory_needs_recursive(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is a directory; add -r"):
        find_sources([str(tmp_path)], "/", recursive=False)
    assert find_sources([str(tmp_path)], "", recursive=True) == [Source("directory", str(tmp_path), "/")]


def test_a_missing_file_is_named_with_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathNotFound, match=f"no file or directory nope.png here .in {tmp_path}"):
        find_sources(["nope.png"], "/", recursive=False)


@pytest.mark.parametrize(
    ("url", "target", "recursive", "path"),
    [
        ("https://example.com/a%20b.html?x=1", "/", False, "/a b.html"),
        ("https://example.com/", "/index.html", False, "/index.html"),
        ("s3://bucket/photos", "/raw", True, "/raw"),
        ("s3://bucket/photos", "", True, "/"),
    ],
)
def test_urls(url: str, target: str, recursive: bool, path: str) -> None:
    assert find_sources([url], target, recursive=recursive) == [Source("url", url, path)]


def test_a_url_without_a_file_name_needs_a_path() -> None:
    with pytest.raises(InvalidArgument, match="ends in no file name"):
        find_sources(["https://example.com/"], "/", recursive=False)


@pytest.mark.parametrize("target", ["", "/", "/dir/"])
def test_standard_input_needs_a_name(target: str) -> None:
    with pytest.raises(InvalidArgument, match="standard input has no name"):
        find_sources(["-"], target, recursive=False)


def test_a_list_of_sources(tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("# photos\n\na.png\n  https://example.com/b.png  \n")
    assert read_list(str(listing)) == ["a.png", "https://example.com/b.png"]
    with pytest.raises(PathNotFound, match=r"cannot read .*check the argument of -i"):
        read_list(str(tmp_path / "nope"))

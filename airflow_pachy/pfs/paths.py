"""Paths inside a repo: kept without a leading slash, shown with one; directories are shown with a trailing one.

Any UTF-8 text is a path, glob characters included, except NUL, empty segments, `.` and `..`: those could not
be laid out as files under /pfs.
"""

from __future__ import annotations

from airflow_pachy.errors import InvalidPath


def clean_path(path: str) -> str:
    """The kept form of a path as users write it: no slash at either end; `""` is the root.

    Raises `InvalidPath`.
    """
    cleaned = path.removeprefix("/").removesuffix("/")
    if cleaned:
        _check(cleaned, path)
    return cleaned


def clean_file_path(path: str) -> str:
    """Like `clean_path`, for a path that must name a file: neither the root nor with a trailing slash."""
    if path in {"", "/"}:
        raise InvalidPath("a file needs a path below the root, as in repo@branch:/name")
    if path.endswith("/"):
        raise InvalidPath(f"path {path!r} names a directory (it ends in '/'); name the file in it")
    return clean_path(path)


def shown_path(path: str, *, directory: bool = False) -> str:
    """The form users see: `/a/b`, and `/a/` for a directory."""
    return f"/{path}/" if directory and path else f"/{path}"


def join_path(directory: str, name: str) -> str:
    """`name` below `directory`, both in the kept form; either may be empty."""
    return f"{directory}/{name}" if directory and name else directory or name


def below(path: str, directory: str) -> str:
    """The part of `path` below `directory`, in the kept form; `""` if they are the same."""
    return path[len(directory) :].removeprefix("/") if directory else path


def _check(cleaned: str, written: str) -> None:
    if "\0" in cleaned:
        raise InvalidPath(f"path {written!r} holds a NUL character")
    try:
        cleaned.encode()
    except UnicodeEncodeError as error:
        raise InvalidPath(f"path {written!r} is not UTF-8; rename the file before putting it") from error
    for segment in cleaned.split("/"):
        if segment in {".", ".."}:
            raise InvalidPath(f"path {written!r} has a segment {segment!r}; write the path without it")
        if not segment:
            raise InvalidPath(f"path {written!r} has an empty segment ('//'); write it with single slashes")

"""gs://, abfs:// and whatever else fsspec reads, when the package for it is installed.

Options are those of the file system's fsspec implementation: a Google `token`, an Azure `account_name`.
A small file below a directory costs one request: what the listing says of it need not be asked again. fsspec lists all
below a directory at once, with few requests and in memory, so this is done for one directory of those asked for after
the other.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.errors import InvalidArgument, PachyError, PathNotFound, StoreDenied, Unavailable
from airflow_pachy.pfs.sources.requests import Found, Request, put_many, put_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_WINDOW_BYTES = 8 << 20
# What has an extra of ours; fsspec's own messages name the packages of the rest.
_EXTRAS = {"gs": "gs", "gcs": "gs", "abfs": "azure", "abfss": "azure", "az": "azure", "adl": "azure", "sftp": "sftp"}
_PACKAGES = {"gs": "gcsfs", "azure": "adlfs", "sftp": "paramiko"}
_GOOGLE = {"gs", "gcs"}
# Of this machine, or wrappers around other file systems: not sources.
_UNFIT = {"local", "dir", "cached", "blockcache", "filecache", "simplecache", "reference", "generic", "async_wrapper"}


def check_scheme(scheme: str, others: Sequence[str]) -> None:
    """Raise `InvalidArgument` unless fsspec knows the scheme; `others` are those that need no fsspec."""
    from fsspec import available_protocols

    if scheme in _UNFIT or scheme not in available_protocols():
        raise InvalidArgument(
            f"cannot put a URL of scheme {scheme!r}; known are {', '.join(others)}, gs, abfs, and what fsspec knows"
        )


def put(request: Request) -> None:
    """Put a file, or with `recursive` all below a directory or prefix, several at a time."""
    scheme = request.url.partition("://")[0].lower()
    with _named(request):
        files, path = _file_system(request, scheme)
        if request.recursive:
            base = path.rstrip("/")
            put_many(request, _found(_PerThread(request, scheme, files), base, _listed(files, base)))
            return
        if files.isdir(path):
            raise InvalidArgument(f"{request.shown} is a directory; put it recursively")
        with files.open(path, "rb", block_size=_WINDOW_BYTES) as stream:
            put_one(request, stream)


def _file_system(request: Request, scheme: str, **more: bool) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    if scheme in _GOOGLE and (request.options.get("endpoint_url") or os.environ.get("STORAGE_EMULATOR_HOST")):
        # It would first ask with gRPC what kind of bucket this is, for a minute per file: only Google's own answers.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        files, path = url_to_fs(request.url, **request.options, **more)
    except (ImportError, ValueError) as error:
        # fsspec raises ValueError for implementations whose import failed inside.
        if isinstance(error, ValueError) and not isinstance(error.__cause__, ImportError):
            raise InvalidArgument(f"cannot open {request.shown}: {error}; check its options") from error
        extra = _EXTRAS.get(scheme)
        if extra is None:
            raise InvalidArgument(f"cannot read {request.shown}: {error}") from error
        raise InvalidArgument(
            f"{scheme}:// needs the package {_PACKAGES[extra]}, which is not installed: "
            f"pip install 'airflow-provider-pachy[{extra}]' (or pip install {_PACKAGES[extra]})"
        ) from error
    except TypeError as error:
        raise InvalidArgument(f"cannot open {request.shown}: {error}; check its options") from error
    except OSError as error:
        # Also what a library cannot load: hdfs:// needs a Java machine.
        raise Unavailable(f"cannot open {request.shown}: {_first_sentence(error)}") from error
    return files, str(path)


def _first_sentence(error: OSError) -> str:
    """Without what a loader has tried in vain, which goes on for lines."""
    return f"{error.strerror or str(error).partition(': ')[0]}"


class _PerThread:
    """The file system as each thread may use it: those that are not asynchronous have one connection for one thread."""

    def __init__(self, request: Request, scheme: str, files: Any) -> None:
        self._request, self._scheme = request, scheme
        self._shared = files if files.async_impl else None
        self._own = threading.local()

    def open(self, path: str, size_bytes: int | None) -> AbstractContextManager[BinaryIO]:
        """A file as a stream; a small one with a single request."""
        files = self._shared or self._files()
        if size_bytes is not None and size_bytes <= _WINDOW_BYTES:
            return io.BytesIO(files.cat_file(path))
        return cast("AbstractContextManager[BinaryIO]", files.open(path, "rb", block_size=_WINDOW_BYTES))

    def _files(self) -> Any:
        if not hasattr(self._own, "files"):
            # Not from fsspec's cache, which would keep the connections of threads that have ended.
            self._own.files, _ = _file_system(self._request, self._scheme, skip_instance_cache=True)
        return self._own.files


def _listed(files: Any, base: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything below a directory, with what is said of it, by name; or the file itself."""
    above: list[dict[str, Any]] = []
    with suppress(FileNotFoundError):  # nothing is found there, as below a prefix that nothing has
        above = files.ls(base, detail=True)
    for info in sorted(above, key=itemgetter("name")):
        path = info["name"]
        if info.get("type") == "directory" and path.rstrip("/") != base:
            below: dict[str, dict[str, Any]] = files.find(path, detail=True)
            files.invalidate_cache()  # it keeps what it has listed
            yield from sorted(below.items())
        else:
            yield path, info


def _found(files: _PerThread, base: str, listed: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Found]:
    for path, info in listed:
        if info.get("type") == "file" and not path.endswith("/"):
            name = path[len(base) :].lstrip("/")
            opened = partial(files.open, path, info.get("size"))
            yield Found(name or path.rpartition("/")[2], opened, mtime_us=_mtime_us(info))


def _mtime_us(info: Mapping[str, Any]) -> int:
    """When the source says that a file was written, 0 if it does not: every file system has its own word and form."""
    for name in ("mtime", "last_modified", "LastModified", "modified", "updated"):
        when = info.get(name)
        if isinstance(when, datetime):
            return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
        if isinstance(when, int | float):
            return int(when * 1_000_000)
    return 0


@contextmanager
def _named(request: Request) -> Iterator[None]:
    """Errors say which URL they are about: every cloud has its own, and few name it."""
    try:
        yield
    except FileNotFoundError as error:
        if isinstance(error, PathNotFound):
            raise
        raise PathNotFound(f"there is nothing at {request.shown}; check the address") from error
    except Exception as error:
        if _is_refused(error) and not isinstance(error, PachyError):
            raise StoreDenied(
                f"{request.shown} is refused: {str(error).partition(chr(10))[0]}; check the credentials, in options or "
                "in the Airflow connection that is named, and what they may read"
            ) from error
        error.add_note(f"while putting {request.shown}")
        raise


def _is_refused(error: Exception) -> bool:
    """Whether a cloud's own error means that the credentials do not do."""
    answers = (getattr(error, name, None) for name in ("code", "status_code", "status"))
    is_named = any("Authentication" in kind.__name__ for kind in type(error).__mro__)
    return is_named or isinstance(error, PermissionError) or any(str(answer) in {"401", "403"} for answer in answers)

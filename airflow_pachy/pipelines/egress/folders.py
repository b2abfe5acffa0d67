"""Files to a folder of an object store or file system."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airflow_pachy.errors import Denied, InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

    from airflow_pachy.pfs.client import Pfs
    from airflow_pachy.pipelines.egress.target import EgressTarget

_THREADS = 16
_AHEAD = 64
_COPY_BYTES = 4 << 20


class Folder(Protocol):
    """What a target folder can do; paths are relative, with `/`."""

    def write(self, path: str, content: BinaryIO) -> None:
        """Write one file, whole or not at all."""

    def delete(self, path: str) -> None:
        """Delete one file; a missing one is no error."""


def copy_files(
    pfs: Pfs,
    commit: str,
    since: str | None,
    target: EgressTarget,
    options: Mapping[str, Any],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int, int]:
    """Copy what differs from the commit `since`; returns files and bytes written, and files deleted."""
    files = size_bytes = deleted = 0
    with _opened(target.url, options or pfs.s3_settings) as folder, ThreadPoolExecutor(_THREADS) as pool:

        def write(path: str) -> None:
            with pfs.open_file(f"{commit}:{path}") as content:
                folder.write(path.lstrip("/"), content)

        pending = []
        for path, size in _changes(pfs, commit, since):
            if size is None:
                if target.mirror:
                    folder.delete(path.lstrip("/"))
                    deleted += 1
                continue
            pending.append((pool.submit(write, path), size))
            if len(pending) >= _AHEAD:
                files, size_bytes = _settle(pending, files, size_bytes, progress)
        while pending:
            files, size_bytes = _settle(pending, files, size_bytes, progress)
    return files, size_bytes, deleted


def _settle(
    pending: list[Any], files: int, size_bytes: int, progress: Callable[[int, int], None] | None
) -> tuple[int, int]:
    future, size = pending.pop(0)
    future.result()
    if progress is not None:
        progress(1, size)
    return files + 1, size_bytes + size


def _changes(pfs: Pfs, commit: str, since: str | None) -> Iterator[tuple[str, int | None]]:
    """Path and size of each file to write, or None as the size of one that is gone."""
    if since is None:
        for found in pfs.walk_file(f"{commit}:/"):
            if found.type == "file":
                yield found.path, found.size_bytes
        return
    for diff in pfs.diff_file(f"{commit}:/", f"{since}:/"):
        if diff.new is None or diff.new.type == "file":
            yield diff.path, diff.new.size_bytes if diff.new else None


@contextmanager
def _opened(url: str, options: Mapping[str, Any]) -> Iterator[Folder]:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        yield _Directory(url)
    elif scheme == "s3":
        folder = _Bucket(url, options)
        try:
            yield folder
        finally:
            folder.close()
    else:
        yield _FsspecFolder(url, options)


class _Directory:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"}:
            raise InvalidArgument(f"{url!r} names the host {parts.netloc!r}; write file:///folder")
        self._root = Path(unquote(parts.path))

    def write(self, path: str, content: BinaryIO) -> None:
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f".{place.name}.part")
        try:
            with unfinished.open("wb") as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)


class _Bucket:
    """S3 by boto3's transfers, whose multipart upload streams large files and leaves nothing half-written."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        from s3transfer.manager import TransferManager

        from airflow_pachy.pfs.objects.s3_client import make_client
        from airflow_pachy.pfs.objects.s3_settings import S3Settings

        parts = urlsplit(url)
        self._url, self._bucket, self._prefix = url, parts.netloc, parts.path.strip("/")
        self._client = make_client(S3Settings.of(options))
        self._transfers = TransferManager(self._client)

    def write(self, path: str, content: BinaryIO) -> None:
        with self._errors():
            self._transfers.upload(content, self._bucket, self._key(path)).result()

    def delete(self, path: str) -> None:
        with self._errors():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def close(self) -> None:
        self._transfers.shutdown()
        self._client.close()

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (ClientError, BotoCoreError) as error:
            refused = any(word in str(error) for word in ("AccessDenied", "Forbidden", "InvalidAccessKey", "Signature"))
            raise (Denied if refused else Unavailable)(
                f"egress to {self._url} failed: {error}; check that the bucket exists and that these credentials may "
                "write to it"
            ) from error


class _FsspecFolder:
    """Any other scheme, by the fsspec file system that is installed for it."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        import fsspec

        self._url = url
        try:
            self._system, self._root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise InvalidArgument(
                f"egress to {url!r}: {error}. Install the fsspec file system of its scheme, e.g. gcsfs for gs://, "
                "adlfs for abfs://"
            ) from error

    def write(self, path: str, content: BinaryIO) -> None:
        place = f"{self._root}/{path}"
        with self._errors():
            self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
            with self._system.open(place, "wb") as file:
                shutil.copyfileobj(content, file, _COPY_BYTES)

    def delete(self, path: str) -> None:
        with self._errors():
            if self._system.exists(f"{self._root}/{path}"):
                self._system.rm_file(f"{self._root}/{path}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise Denied(f"egress to {self._url} was refused: {error}") from error
        except OSError as error:
            raise Unavailable(f"egress to {self._url} failed: {error}") from error

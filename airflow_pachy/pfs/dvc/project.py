"""A DVC project at one git revision, as DVC reads it: which files a path has, their MD5s, and their bytes.

Only here is DVC's reading interface used. Its MD5s are told apart by how they were made: those of DVC 2 are of text
with its line ends changed, so bytes cannot be checked against them.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_pachy.errors import Corrupt, InvalidArgument, PathNotFound, Unavailable
from airflow_pachy.pfs.dvc import hush

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_pachy.pfs.dvc.urls import Place

_BOOKKEEPING = {".gitignore", ".dvcignore", ".gitattributes"}


@dataclass(frozen=True, slots=True)
class Tracked:
    """A file of the project: its path there, and the MD5 that DVC has of it ("" for a file that git keeps)."""

    path: str
    md5: str
    is_md5_of_bytes: bool = True
    executable: bool = False


class Project:
    """Use `open_project`."""

    def __init__(self, place: Place, files: Any) -> None:
        self._place = place
        self._files = files
        self.rev: str | None = (
            files.repo.get_rev() if files.repo.scm_context.scm.__class__.__name__ != "NoSCM" else None
        )

    def inspect(self, path: str) -> tuple[bool, str]:
        """Whether the path is a directory, and its MD5 (of a directory that ends in `.dir`). Raises `PathNotFound`."""
        with self._named():
            info = self._files.info(path)
        return info["type"] == "directory", str(info.get("md5") or "")

    def files(self, path: str) -> Iterator[Tracked]:
        """All files at and below a path, in no particular order; without DVC's and git's own."""
        with self._named():
            info = self._files.info(path)
            if info["type"] != "directory":
                yield _tracked(path, info)
                return
            for directory, _, files in self._files.walk(path, detail=True):
                for name, found in files.items():
                    if name not in _BOOKKEEPING:
                        yield _tracked(f"{directory}/{name}".strip("/"), found)

    @contextmanager
    def open(self, tracked: Tracked) -> Iterator[BinaryIO]:
        """A file's bytes, from the project's cache or a remote; raises `Corrupt` at the end of wrong ones."""
        with self._named(tracked.path), self._files.open(tracked.path, "rb") as stream:
            if tracked.md5 and tracked.is_md5_of_bytes:
                yield cast("BinaryIO", _Checked(stream, tracked, self._place))
            else:
                yield stream

    @contextmanager
    def _named(self, path: str | None = None) -> Iterator[None]:
        from dvc.config import ConfigError
        from dvc.exceptions import DvcException

        try:
            yield
        except FileNotFoundError as error:
            if path is None:
                raise PathNotFound(
                    f"there is no file or directory {self._place.path or '/'} in the DVC project {self._place.shown} "
                    f"at {self._place.rev or 'its head'}; check path and rev"
                ) from error
            raise PathNotFound(
                f"{path} of the DVC project {self._place.shown} is in no cache or remote that can be read here; "
                "was it pushed (dvc push)?"
            ) from error
        except ConfigError as error:
            raise InvalidArgument(f"{self._place} cannot be read: {_words(error)}; check remote") from error
        except DvcException as error:
            raise Unavailable(f"{self._place} cannot be read: {_words(error)}") from error


@contextmanager
def open_project(place: Place, options: Mapping[str, Any]) -> Iterator[Project]:
    """The project at the place's revision.

    `options` may have `remote_config` and `config`, as DVC takes them. Raises `InvalidArgument` for an unknown revision
    and where there is no DVC, `Unavailable` for a repository that cannot be cloned.
    """
    try:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.scm import CloneError, RevError, SCMError
    except ImportError as error:
        raise InvalidArgument(
            f"dvc:// needs DVC, which is not installed here ({error}): pip install 'airflow-provider-pachy[dvc]'"
        ) from error
    hush()
    try:
        # Without a revision DVC would read whatever lies in the working copy, which nobody could read again.
        files = DVCFileSystem(place.repository, rev=place.rev or _default_rev(place), remote=place.remote, **options)
        project = Project(place, files)
    except NotDvcRepoError as error:
        raise InvalidArgument(f"{place.shown} is no DVC project; {_words(error)}") from error
    except RevError as error:
        raise InvalidArgument(f"{place.shown} has no revision {place.rev!r}; is it pushed or fetched?") from error
    except (CloneError, SCMError) as error:
        raise Unavailable(
            f"{place.shown} cannot be cloned ({_words(error)}); check the address, and git's credentials for it"
        ) from error
    except DvcException as error:
        raise InvalidArgument(f"{place} cannot be opened: {_words(error)}") from error
    try:
        yield project
    finally:
        files.close()


def _default_rev(place: Place) -> str | None:
    return "HEAD" if "://" not in place.repository else None


def _tracked(path: str, info: Mapping[str, Any]) -> Tracked:
    dvc = info.get("dvc_info") or {}
    entry = dvc.get("entry")
    hashed = getattr(entry, "hash_info", None)
    executable = bool(info.get("isexec") or dvc.get("isexec"))
    if hashed is None or not hashed.value:
        return Tracked(path, "", executable=executable)
    return Tracked(path, str(hashed.value), hashed.name == "md5", executable)


def _words(error: Exception) -> str:
    """What DVC says, and what made it say so."""
    words = [" ".join(str(one).split()) for one in (error, error.__cause__) if one is not None]
    return ": ".join(dict.fromkeys(word for word in words if word)) or type(error).__name__


class _Checked:
    """A stream that ends in an error if it was not the bytes that DVC tracked."""

    def __init__(self, stream: BinaryIO, tracked: Tracked, place: Place) -> None:
        self._stream, self._tracked, self._place = stream, tracked, place
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(size)
        self._md5.update(data)
        if (not data or size < 0) and (found := self._md5.hexdigest()) != self._tracked.md5 and size != 0:
            raise Corrupt(
                f"{self._tracked.path} of {self._place} is not what DVC tracked: its MD5 is {found}, not "
                f"{self._tracked.md5}; the cache or remote it came from is damaged"
            )
        return data

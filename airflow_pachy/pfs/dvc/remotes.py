"""The DVC project a directory is in, and the remote of it that an export goes to; both are made if need be."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import Denied, InvalidArgument, Unavailable
from airflow_pachy.pfs.dvc import hush

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "pachy"


@dataclass(frozen=True, slots=True)
class Target:
    """An open DVC project: `objects` is DVC's object database in the remote, `scratch` for files that may be lost."""

    directory: Path
    remote: str
    is_default: bool
    in_git: bool
    objects: Any
    scratch: Path


@contextmanager
def open_target(
    directory: Path, remote: str | None, remote_url: str | None, s3: Mapping[str, Any] | None
) -> Iterator[Target]:
    """The project that `directory` is in, with the remote named, or the one at `remote_url`, or its default one.

    A remote at an unknown `remote_url` is added to the project, and a project around it made if there is none. `s3`
    says how we reach S3 ourselves: a remote there gets the same endpoint and, for this export alone, the same keys.
    Raises `InvalidArgument`, `Unavailable`, `Denied`.
    """
    if remote and remote_url:
        raise InvalidArgument("a DVC remote is named either by --remote or by --remote-url, not both")
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ImportError as error:
        raise InvalidArgument(
            f"exporting to DVC needs DVC, which is not installed here ({error}): "
            "pip install 'airflow-provider-pachy[dvc]'"
        ) from error
    hush()
    directory = directory.expanduser().absolute()
    repo: Any = None
    try:
        root = _project_root(directory, may_make=remote_url is not None)
        name = _remote_name(root, directory, remote, remote_url, s3)
        repo = Repo(str(root), config={"remote": {name: _credentials(root, name, s3)}})
        objects = repo.cloud.get_remote_odb(name)
        directory.mkdir(parents=True, exist_ok=True)
        yield Target(
            directory=directory,
            remote=name,
            is_default=repo.config["core"].get("remote") == name,
            in_git=_git_root(directory) is not None,
            objects=objects,
            scratch=Path(repo.tmp_dir or root / ".dvc" / "tmp"),
        )
    except DvcException as error:
        raise InvalidArgument(f"the DVC project at {directory} cannot be exported to: {_words(error)}") from error
    except PermissionError as error:
        if isinstance(error, Denied):
            raise
        raise Denied(f"the DVC remote refuses us: {_words(error)}; check its credentials in the project") from error
    except ConnectionError as error:
        if isinstance(error, Unavailable):
            raise
        raise Unavailable(f"the DVC remote did not answer: {_words(error)}; check its address") from error
    finally:
        if repo is not None:
            repo.close()


def _project_root(directory: Path, *, may_make: bool) -> Path:
    from dvc.repo import Repo

    for place in (directory, *directory.parents):
        if (place / ".dvc").is_dir():
            return place
    if not may_make:
        raise InvalidArgument(
            f"{directory} is in no DVC project; make one (git init && dvc init), or give --remote-url and one is made"
        )
    directory.mkdir(parents=True, exist_ok=True)
    git = _git_root(directory)
    Repo.init(str(directory), no_scm=git is None, subdir=git is not None and git != directory).close()
    return directory


def _git_root(directory: Path) -> Path | None:
    return next((place for place in (directory, *directory.parents) if (place / ".git").exists()), None)


def _remote_name(
    root: Path, directory: Path, remote: str | None, remote_url: str | None, s3: Mapping[str, Any] | None
) -> str:
    from dvc.config import Config

    config = Config.from_cwd() if root == Path.cwd() else Config(str(root / ".dvc"))
    known: dict[str, Any] = config["remote"]
    if remote is not None:
        if remote not in known:
            there = ", ".join(sorted(known)) or "none"
            raise InvalidArgument(
                f"the DVC project {root} has no remote {remote!r} (it has {there}); give --remote-url"
            )
        return remote
    if remote_url is None:
        default = config["core"].get("remote")
        if not default:
            raise InvalidArgument(f"the DVC project {root} has no default remote; give --remote or --remote-url")
        return str(default)
    url = remote_url if "://" in remote_url else str((directory / Path(remote_url).expanduser()).resolve())
    for name, options in known.items():
        if str(options.get("url", "")).rstrip("/") == url.rstrip("/"):
            return name
    name = next(one for one in (NAME, *(f"{NAME}-{n}" for n in range(2, len(known) + 3))) if one not in known)
    with config.edit("repo") as written:
        options = {"url": url}
        if url.startswith("s3://") and s3 and s3.get("endpoint_url"):
            options["endpointurl"] = str(s3["endpoint_url"])
        written.setdefault("remote", {})[name] = options
        if not config["core"].get("remote"):
            written.setdefault("core", {})["remote"] = name
    return name


def _credentials(root: Path, name: str, s3: Mapping[str, Any] | None) -> dict[str, Any]:
    """Our own S3 keys for a remote at our own endpoint that says nothing of credentials; never written down."""
    from dvc.config import Config

    options = Config(str(root / ".dvc"))["remote"][name]
    ours = s3 or {}
    elsewhere = {"access_key_id", "profile", "credentialpath", "configpath"} & set(options)
    if not str(options.get("url", "")).startswith("s3://") or elsewhere or not ours.get("aws_access_key_id"):
        return {}
    if options.get("endpointurl") != ours.get("endpoint_url"):
        return {}
    names = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
        "region_name": "region",
    }
    return {theirs: ours[our] for our, theirs in names.items() if ours.get(our)}


def _words(error: Exception) -> str:
    words = [" ".join(str(one).split()) for one in (error, error.__cause__) if one is not None]
    return ": ".join(dict.fromkeys(word for word in words if word)) or type(error).__name__

"""Which store and database a command works on, and the `Pfs` client on them, opened when first asked for.

The order is the same for each setting: the option, else the Airflow connection named by `--airflow-conn`, else the
`PACHY_*` environment variable, else the embedded default under `$AIRFLOW_HOME/pachy`. Airflow is imported only
for `--airflow-conn`: it takes seconds, and the command must also work where Airflow is not configured.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_pachy.hooks.settings import PachySettings
    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pfs.objects.beside import StoreBeside
    from airflow_pachy.pfs.objects.beside_process import Shared

# numpy would start threads for matrices: no command multiplies any, and all would wait. Arrow's own allocator takes
# huge pages for each thread, and filling them with zeros takes as long as decoding what a command reads.
# They read these variables when they are imported.
_FRUGAL = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_set: set[str] = set()

READING = ("airflow_pachy.pfs.files", "airflow_pachy.pfs.tree.view")
WRITING = ("airflow_pachy.pfs.puts", "airflow_pachy.pfs.tree.merge")
"""What commands need that read files, or write them: for `Session.pfs_for`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from, in words for people."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is. `s3` are keyword arguments of `open_store`, secrets included: not for printing."""

    storage: Setting
    metadata: Setting
    s3: Mapping[str, Any]
    principal: str | None


@dataclass(frozen=True)
class Session:
    """The global options of one command line."""

    storage: str | None = None
    metadata: str | None = None
    s3_endpoint: str | None = None
    s3_options: tuple[str, ...] = ()
    principal: str | None = None
    airflow_conn: str | None = None
    _modules: list[str] = field(default_factory=list, init=False)
    _reading: list[str] = field(default_factory=list, init=False)
    _beside: list[StoreBeside] = field(default_factory=list, init=False)

    @cached_property
    def pfs(self) -> Pfs:
        """The client; closed when the command ends."""
        # numpy and Arrow are imported at the first look at a file, which many commands never take.
        click.get_current_context().find_root().with_resource(_frugal())
        from airflow_pachy.cli.first_node import first_node
        from airflow_pachy.pfs import Pfs

        places, store = self.places, None
        if self._beside:
            from airflow_pachy.pfs.objects.kept import seems_kept
            from airflow_pachy.user_cache import cache_directory

            store = self._beside[0]
            key = first_node(places.metadata.value, self._reading[0]) if self._reading else None
            if key is not None and not seems_kept(cache_directory(os.environ), key):
                store.expect(key)
            for module in self._modules:
                import_module(module)
        client = Pfs.open(
            storage=places.storage.value,
            metadata=places.metadata.value,
            s3=places.s3,
            principal=places.principal,
            store=store,
        )
        click.get_current_context().find_root().call_on_close(client.close)
        return client

    def pfs_for(self, modules: Sequence[str], commit: str | None = None) -> Pfs:
        """`pfs`, for a command that will need these modules: another process opens the store while they are imported.

        It also gets what a command needs first that works on the files of `commit`. To be called before anything else,
        for a fork is safe only in a small process.
        """
        self.begin()
        self._modules.extend(modules)
        self._reading.extend([commit] if commit else [])
        return self.pfs

    def begin(self, shared: Shared | None = None) -> StoreBeside | None:
        """Have another process open the store already, for a command that has something to do before `pfs_for`.

        `shared` is what that process does besides. None where there is no such process.
        """
        if "pfs" not in vars(self) and not self._beside and (store := self.store_beside(self.places, shared)):
            click.get_current_context().find_root().call_on_close(store.close)
            self._beside.append(store)
        return self._beside[0] if self._beside else None

    def store_beside(self, places: Places, shared: Shared | None = None) -> StoreBeside | None:
        """The store, from a process beside ours that imports what talks to it while we import all else."""
        from airflow_pachy.pfs.format import KEY
        from airflow_pachy.pfs.objects.beside import open_beside

        return open_beside(places.storage.value, s3=places.s3, first=KEY, shared=shared)

    @cached_property
    def places(self) -> Places:
        """Each setting by the first of its sources that has it."""
        from airflow_pachy.pfs.objects.s3_settings import merged
        from airflow_pachy.pfs.settings import settings_from

        connection = read_connection(self.airflow_conn) if self.airflow_conn else None
        s3 = merged(connection.s3 if connection else {}, self._s3_given())
        settings = settings_from(
            os.environ,
            storage=self.storage or (connection.storage if connection else None),
            metadata=self.metadata or (connection.metadata if connection else None),
            s3=s3,
            principal=self.principal or (connection.principal if connection else None),
        )
        return Places(
            storage=Setting(settings.storage, self._source("storage", self.storage, connection)),
            metadata=Setting(settings.metadata, self._source("metadata", self.metadata, connection)),
            s3=settings.s3,
            principal=settings.principal,
        )

    def _s3_given(self) -> dict[str, Any]:
        """What `--s3-endpoint` and `--s3` say. Raises `InvalidArgument` for a name or value that cannot be."""
        from airflow_pachy.pfs.objects.s3_settings import checked

        given: dict[str, str] = {}
        for option in self.s3_options:
            name, equals, value = option.partition("=")
            if not equals:
                raise InvalidArgument(f"--s3 {option} is not a setting; write --s3 NAME=VALUE, as in --s3 sse=aws:kms")
            given[name] = value
        endpoint = {"endpoint_url": self.s3_endpoint} if self.s3_endpoint else {}
        return checked(endpoint, label=lambda _: "--s3-endpoint") | checked(given, label=lambda name: f"--s3 {name}")

    def _source(self, name: str, option: str | None, connection: PachySettings | None) -> str:
        """The same order as `settings_from`, in words."""
        if option:
            return f"--{name}"
        if connection is not None and getattr(connection, name):
            return f"Airflow connection {self.airflow_conn}"
        if os.environ.get(f"PACHY_{name.upper()}"):
            return f"PACHY_{name.upper()}"
        home = "$AIRFLOW_HOME/pachy" if os.environ.get("AIRFLOW_HOME") else "~/airflow/pachy"
        return f"embedded default, {home}"


def read_source_options(conn_id: str) -> dict[str, Any]:
    """Credentials for URLs from an Airflow connection. Raises `InvalidArgument`."""
    try:
        from airflow.models.connection import Connection

        from airflow_pachy.hooks.airflow_errors import AirflowNotFoundException
        from airflow_pachy.hooks.sources import source_options
    except ImportError as error:
        raise InvalidArgument(f"--conn-id {conn_id} needs Airflow in this environment ({error})") from error
    try:
        return source_options(Connection.get_connection_from_secrets(conn_id), Connection.get_connection_from_secrets)
    except AirflowNotFoundException as error:
        raise InvalidArgument(
            f"Airflow has no connection {conn_id!r}: {error}. List them with `airflow connections list`."
        ) from error


@contextmanager
def _frugal() -> Iterator[None]:
    """Keep numpy and Arrow from taking more than a command needs, until it ends."""
    _set.update(_FRUGAL.keys() - os.environ.keys())
    os.environ.update({name: _FRUGAL[name] for name in _set})
    try:
        yield
    finally:
        for name in _set:
            del os.environ[name]
        _set.clear()


def environment_of_programs() -> dict[str, str]:
    """The environment for a program that a command starts: as it was given to us."""
    return {name: value for name, value in os.environ.items() if name not in _set}


def read_connection(conn_id: str) -> PachySettings:
    """What an Airflow connection says. Raises `InvalidArgument` when there is none, or no Airflow to ask."""
    try:
        from airflow.models.connection import Connection

        from airflow_pachy.hooks.airflow_errors import AirflowNotFoundException
        from airflow_pachy.hooks.settings import aws_connection_id, from_connection
    except ImportError as error:
        raise InvalidArgument(
            f"--airflow-conn {conn_id} needs Airflow in this environment ({error}); "
            "without it use --storage and --metadata, or PACHY_STORAGE and PACHY_METADATA"
        ) from error
    try:
        connection = Connection.get_connection_from_secrets(conn_id)
        aws_id = aws_connection_id(connection)
        return from_connection(connection, Connection.get_connection_from_secrets(aws_id) if aws_id else None)
    except AirflowNotFoundException as error:
        raise InvalidArgument(
            f"Airflow has no connection {conn_id!r}: {error}. List them with `airflow connections list`."
        ) from error

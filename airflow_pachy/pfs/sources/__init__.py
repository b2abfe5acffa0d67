"""Where `put_url` can read from: one module per kind of URL, imported when the first such URL is put.

A handler is a function `put(request: Request) -> None` that writes what the URL names, in one commit. `HANDLERS` says
which module has it; `register` adds or replaces one, for schemes of your own. Schemes that are not named here go to
fsspec, if it knows them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_pachy.pfs.sources.requests import Request

    Handler = Callable[[Request], None]

PARALLEL = 8
"""Files that are read at a time, unless somebody says otherwise."""
_FSSPEC = "airflow_pachy.pfs.sources.clouds"
HANDLERS: dict[str, str] = {
    "dvc": "airflow_pachy.pfs.dvc.source",
    "dvc+http": "airflow_pachy.pfs.dvc.source",
    "dvc+https": "airflow_pachy.pfs.dvc.source",
    "dvc+ssh": "airflow_pachy.pfs.dvc.source",
    "file": "airflow_pachy.pfs.sources.local",
    "http": "airflow_pachy.pfs.sources.http",
    "https": "airflow_pachy.pfs.sources.http",
    "pfs": "airflow_pachy.pfs.sources.pachy",
    "s3": "airflow_pachy.pfs.sources.buckets",
}


def register(scheme: str, module: str) -> None:
    """Have URLs of a scheme put by the function `put` of a module."""
    HANDLERS[scheme.lower()] = module


def handler_of(url: str) -> Handler:
    """What puts a URL. Raises `InvalidArgument` for what is no URL, or of a scheme that nobody knows."""
    scheme, found, _ = url.partition("://")
    if not found or not scheme:
        raise InvalidArgument(f"{url!r} is not a URL (scheme://...); a local file is put with put_file")
    module = HANDLERS.get(scheme.lower())
    if module is None:
        from airflow_pachy.pfs.sources.clouds import check_scheme

        check_scheme(scheme.lower(), sorted(HANDLERS))
        module = _FSSPEC
    put: Any = import_module(module).put
    return cast("Handler", put)

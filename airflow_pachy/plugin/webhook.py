"""The receiver of git servers' webhooks in Airflow's API server: `POST /pachy-hooks/git`.

A push emits an event of the asset of its branch (`git_asset`), for which the DAGs of pipelines with that git input
wait besides polling. So the API server fetches nothing: the DAG's own feed task does, at once instead of at its next
poll. Nothing is served unless `[pachy] webhook_secret` is set.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.plugin.pushes import MAX_BODY_BYTES, Push, RateLimit, is_authentic, read_push

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastapi import Request

PREFIX = "/pachy-hooks"
PER_MINUTE, BURST = 120.0, 60.0

log = logging.getLogger(__name__)


def webhook_app(
    secret: str, wake: Callable[[Push], list[str]] | None = None, limit: RateLimit | None = None
) -> FastAPI:
    """The application. `wake` starts what waits for a push and returns the DAGs; `limit` is for all requests."""
    if not secret:
        raise InvalidArgument("a webhook without a secret would let anybody start runs; set [pachy] webhook_secret")
    allowance = limit or RateLimit(PER_MINUTE, BURST)

    async def receive(request: Request) -> JSONResponse:
        if wait := allowance.seconds_to_wait():
            return _answer(429, "too many requests", {"Retry-After": str(math.ceil(wait))})
        body = await _read(request)
        if body is None:
            return _answer(413, f"the payload is larger than {MAX_BODY_BYTES >> 20} MiB")
        headers = {name.lower(): value for name, value in request.headers.items()}
        # Before anything of the body is looked at.
        if not is_authentic(headers, body, secret):
            return _answer(401, "the signature or token is missing or wrong; it is made with [pachy] webhook_secret")
        return await _pass_on(headers, body, wake or wake_dags)

    app = FastAPI(title="Pachy webhooks", openapi_url=None)
    app.add_route("/git", receive, methods=["POST"])
    return app


async def _pass_on(headers: Mapping[str, str], body: bytes, wake: Callable[[Push], list[str]]) -> JSONResponse:
    try:
        push = read_push(headers, body)
    except InvalidArgument as error:
        return _answer(400, str(error))
    if isinstance(push, str):
        return JSONResponse({"ignored": push})
    try:
        dags = await run_in_threadpool(wake, push)
    except Exception:
        log.exception("A push to %s could not be passed on", push.branch)
        return _answer(503, "Airflow could not take the event; its log says why. Send it again", {"Retry-After": "30"})
    log.info("Push of %s to %s: %s", push.revision or "something", push.branch, ", ".join(dags) or "no DAG waits")
    return JSONResponse({"branch": push.branch, "revision": push.revision, "woken": dags}, status_code=202)


async def _read(request: Request) -> bytes | None:
    """The body, None if it is too large; no more than that is ever held."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def wake_dags(push: Push) -> list[str]:
    """Emit the event of the pushed branch's asset; returns the DAGs that are not paused and wait for it."""
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_pachy.assets import git_uri

    uris = [git_uri(address, push.branch) for address in sorted(push.addresses)]
    with create_session(scoped=False) as session:
        found: list[Any] = list(session.scalars(select(AssetModel).where(AssetModel.uri.in_(uris))))
        woken = {ref.dag.dag_id for asset in found for ref in asset.scheduled_dags if not ref.dag.is_paused}
        for asset in found:
            asset_manager.register_asset_change(
                asset=asset, extra={"branch": push.branch, "revision": push.revision}, session=session
            )
    return sorted(woken)

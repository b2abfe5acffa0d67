"""How errors of the layers below become the end of an Airflow task.

Airflow retries whatever is raised, except `AirflowFailException`. Retrying helps when a service was away or somebody
else was faster; it does not help when a repo is missing or the user's code has failed, and a wait of some
minutes would only hide the message.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_pachy.errors import BranchMoved, CommitOpen, PachyError, Unavailable
from airflow_pachy.hooks.airflow_errors import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRYABLE = (Unavailable, BranchMoved, CommitOpen)

log = logging.getLogger(__name__)


@contextmanager
def short_errors() -> Iterator[None]:
    """Let a `PachyError` end the task with its own message: for good, unless trying again may help."""
    try:
        yield
    except PachyError as error:
        # The message says it all; a second traceback above it, of HTTP clients and drivers, would only hide it.
        log.debug("The cause:", exc_info=True)
        raise (AirflowException if isinstance(error, RETRYABLE) else AirflowFailException)(str(error)) from None

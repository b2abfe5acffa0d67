"""`PfsFeedOperator`: the ticks of cron inputs and the commits of git inputs, before a pipeline reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_pachy.hooks.settings import DEFAULT_CONNECTION
from airflow_pachy.operators.chaining import backfilled_moment, is_by_hand
from airflow_pachy.operators.failures import short_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_pachy.pfs import Pfs
    from airflow_pachy.pipelines.inputs.cron import CronInput
    from airflow_pachy.pipelines.inputs.git import GitInput


class PfsFeedOperator(BaseOperator):
    """Commit what is due in the repos that only this pipeline reads. XCom: the addresses of the new commits.

    Every tick of a cron input that is due and missing becomes a commit, the oldest first, so nothing is lost while
    Airflow was down; a run that was started by hand ticks now, and one of a backfill at its date. The newest commit of
    a git input's branch is fetched if it is not there yet. `git_conn_id` names a connection whose login and password
    open private git repositories.
    """

    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        input: Mapping[str, Any],  # noqa: A002 - the field's own name
        git_conn_id: str | None = None,
        pfs_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input = input
        self.git_conn_id = git_conn_id
        self.pfs_conn_id = pfs_conn_id

    def execute(self, context: Context) -> list[str]:
        """Feed each input in turn."""
        from airflow_pachy.hooks.pfs import PfsHook
        from airflow_pachy.pipelines.inputs import parse_input
        from airflow_pachy.pipelines.inputs.cron import CronInput
        from airflow_pachy.pipelines.inputs.fed import fed_inputs, make_own_sources
        from airflow_pachy.pipelines.inputs.git import GitInput

        node = parse_input(self.input)
        made: list[str] = []
        with short_errors(), PfsHook(self.pfs_conn_id).get_conn() as pfs:
            make_own_sources(pfs, node)
            for one in fed_inputs(node):
                if isinstance(one, CronInput):
                    made += self._tick(pfs, one, context)
                elif isinstance(one, GitInput):
                    made += self._fetch(pfs, one)
        return made

    def _tick(self, pfs: Pfs, cron: CronInput, context: Context) -> list[str]:
        from airflow_pachy.pipelines.inputs.cron import feed_cron, tick_name, tick_now, tick_of

        now, backfilled = datetime.now(UTC), backfilled_moment(context)
        if backfilled is not None:
            tick = tick_of(pfs, cron, backfilled)
            ticks = [] if tick is None else [tick]
        else:
            ticks = [*feed_cron(pfs, cron, now), *([tick_now(pfs, cron, now)] if is_by_hand(context) else [])]
        for tick in ticks:
            self.log.info("Cron input %s: tick %s in %s", cron.name, tick_name(tick), cron.leaf.repo)
        return [f"{cron.leaf.repo}@{cron.leaf.branch}:/{tick_name(tick)}" for tick in ticks]

    def _fetch(self, pfs: Pfs, git: GitInput) -> list[str]:
        from airflow_pachy.pipelines.inputs.git import poll_git
        from airflow_pachy.pipelines.inputs.git_fetch import GitLogin

        login = None
        if self.git_conn_id is not None:
            from airflow_pachy.hooks.pfs import PfsHook

            connection = PfsHook.get_connection(self.git_conn_id)
            login = GitLogin(connection.login or "", connection.password or "")
        commit = poll_git(pfs, git, login=login)
        self.log.info("Git input %s: %s", git.name, f"new commit {commit}" if commit else "nothing new")
        return [f"{git.leaf.repo}@{commit}"] if commit else []

"""Which right each verb needs, in one table, and the check in front of every verb.

`Client.__init_subclass__` hands every class of verbs to `guard`, so a new verb is checked from its first
day: one that is missing here is refused to everybody with a principal, and a test names it. A rule says which argument
names the repo and which role it needs there. Administrators (clients without a principal) pay nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_pachy.errors import Denied
from airflow_pachy.lazy import LazyModule
from airflow_pachy.pfs.roles import Role
from airflow_pachy.pfs.targets import as_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_pachy.pfs import access, lookups, provenance
    from airflow_pachy.pfs.root import Root

    Arguments = Mapping[str, Any]
else:
    access = LazyModule("airflow_pachy.pfs.access")
    lookups = LazyModule("airflow_pachy.pfs.lookups")
    provenance = LazyModule("airflow_pachy.pfs.provenance")

T = TypeVar("T")

_signature = cache(signature)  # taken when a verb is first used: there are many verbs


class Rule(Protocol):
    """What must hold before a verb runs; raises `Denied`."""

    def check(self, root: Root, arguments: Arguments) -> None:
        """Look at the arguments by name."""


@dataclass(frozen=True, slots=True)
class Free:
    """Tells nothing that is in a repo, or is made of verbs that are checked themselves."""

    def check(self, root: Root, arguments: Arguments) -> None:
        """Pass."""


@dataclass(frozen=True, slots=True)
class Needs:
    """A role on the repo that an argument names: a repo, an address, a commit, or several of them."""

    role: Role
    argument: str

    def check(self, root: Root, arguments: Arguments) -> None:
        """Check each repo named."""
        value = arguments.get(self.argument)
        if value is None:
            return
        values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        for repo in dict.fromkeys(as_address(root, one).repo for one in values):
            access.require(root, repo, self.role, arguments.get("session"))


@dataclass(frozen=True, slots=True)
class NeedsCommit:
    """A role on the repo of the commit whose bare id an argument is."""

    role: Role
    argument: str

    def check(self, root: Root, arguments: Arguments) -> None:
        """Check the commit's repo; one that does not exist is for the verb to tell."""
        from sqlalchemy import select

        from airflow_pachy.metadata.models import Commit

        with root.metadata.reader() as session:
            repo = session.scalar(select(Commit.repo).where(Commit.id == arguments[self.argument]))
        if repo is not None:
            access.require(root, repo, self.role)


@dataclass(frozen=True, slots=True)
class NeedsDownstream:
    """A role on the repos of a commit and of all commits that derive from it."""

    role: Role
    argument: str
    only_if: str | None = None

    def check(self, root: Root, arguments: Arguments) -> None:
        """Check all of them before the first is touched."""
        Needs(self.role, self.argument).check(root, arguments)
        if self.only_if is not None and not arguments.get(self.only_if):
            return
        with root.metadata.reader() as session:
            ids = provenance.downstream_closure(
                session, lookups.find_commit(session, as_address(root, arguments[self.argument])).id
            )
            repos = [lookups.find_commit_by_id(session, one).repo for one in sorted(ids)]
        for repo in dict.fromkeys(repos):
            access.require(root, repo, self.role)


@dataclass(frozen=True, slots=True)
class NeedsSource:
    """READER on the repo that a `pfs://repo/branch/path` URL names; other URLs are no business of ours."""

    argument: str

    def check(self, root: Root, arguments: Arguments) -> None:
        """Check the repo, if there is one in it."""
        url, options = str(arguments[self.argument]), arguments.get("options")
        # With options it names a file of another root, which asks for itself.
        if url.lower().startswith("pfs://") and not options:
            from airflow_pachy.pfs.sources.pachy import address_of

            access.require(root, address_of(url).repo, Role.READER)


@dataclass(frozen=True, slots=True)
class NeedsEverywhere:
    """A role on every repo that has grants, for what concerns the whole root."""

    role: Role

    def check(self, root: Root, arguments: Arguments) -> None:  # noqa: ARG002 - whatever is asked
        """Check them all."""
        access.require_everywhere(root, self.role)


def _reads(*arguments: str) -> tuple[Rule, ...]:
    return tuple(Needs(Role.READER, argument) for argument in arguments)


def _writes(*arguments: str) -> tuple[Rule, ...]:
    return tuple(Needs(Role.WRITER, argument) for argument in arguments)


def _owns(argument: str) -> tuple[Rule, ...]:
    return (Needs(Role.OWNER, argument),)


FREE: tuple[Rule, ...] = (Free(),)

RULES: dict[str, tuple[Rule, ...]] = {
    # The client itself. `tree` is how pipelines read; the rest reaches nothing without an address from elsewhere.
    "open": FREE,
    "close": FREE,
    "acting_as": FREE,
    "tree": _reads("commit"),
    "new_content_writer": FREE,
    # Repos. Whoever changes a description writes; a repo that is not there yet has no grants.
    "create_repo": _writes("name"),
    "update_repo": _writes("name"),
    "inspect_repo": FREE,
    "list_repos": FREE,
    "delete_repo": _owns("name"),
    # Each of the verbs in it is checked.
    "transaction": FREE,
    # Branches
    "create_branch": _writes("branch") + _reads("head", "provenance"),
    "inspect_branch": _reads("branch"),
    "list_branches": _reads("repo"),
    "delete_branch": _writes("branch"),
    "tick_triggers": FREE,  # does what WRITERs have asked for
    # Commits. Provenance shows ids and descriptions of commits in other repos, never their files.
    "start_commit": _writes("branch") + _reads("parent", "provenance"),
    "finish_commit": _writes("commit"),
    "commit": _writes("branch") + _reads("parent", "provenance"),
    "inspect_commit": _reads("commit"),
    "list_commits": _reads("commit"),
    "subscribe_commit": _reads("branch"),
    "wait_commit": _reads("commit"),
    "flush_commit": _reads("commits", "to_repos", "expect"),
    "provenance": _reads("commit"),
    "subvenance": _reads("commit"),
    "drop_commit": (NeedsDownstream(Role.WRITER, "commit", only_if="recursive"),),
    "squash_commit": (NeedsDownstream(Role.WRITER, "commit", only_if="recursive"),),
    "forget_commit": _writes("commit"),
    "update_commit": _writes("commit"),
    "tag_commit": _writes("commit"),
    "list_tags": _reads("repo"),
    "delete_tag": _writes("tag"),
    "delete_commit": (NeedsDownstream(Role.WRITER, "commit"),),
    # Files
    "put_file": _writes("path"),
    "put_dir": _writes("path"),
    "put_split": _writes("path"),
    "put_header": _writes("path"),
    "put_footer": _writes("path"),
    "put_url": (*_writes("path"), NeedsSource("url")),
    "delete_file": _writes("path"),
    "copy_file": _reads("source") + _writes("target"),
    "get_file": _reads("path"),
    "get_files": _reads("commit"),
    "get_header": _reads("path"),
    "get_footer": _reads("path"),
    "file_history": _reads("path"),
    "open_file": _reads("path"),
    "get_dir": _reads("path"),
    "inspect_file": _reads("path"),
    "list_file": _reads("path"),
    "walk_file": _reads("path"),
    "glob_file": _reads("commit"),
    "diff_file": _reads("new", "old"),
    "diff_summary": _reads("new", "old"),
    # What jobs publish. Publishing comes right after mirroring, inside a transaction of the caller's.
    "start_output_commit": _writes("branch"),
    "commit_edit": _writes("branch"),
    "reopen_output_commit": (NeedsCommit(Role.WRITER, "commit_id"),),
    "mirror_commit": (NeedsCommit(Role.WRITER, "commit_id"),),
    "publish_output_commit": FREE,
    "drop_output_commit": (NeedsCommit(Role.WRITER, "commit_id"),),
    # Upkeep concerns what everybody has.
    "gc": (NeedsEverywhere(Role.OWNER),),
    "fsck": (NeedsEverywhere(Role.OWNER),),
    "extract": (NeedsEverywhere(Role.OWNER),),
    "restore": (NeedsEverywhere(Role.OWNER),),
    "set_retention": _owns("repo"),
    "retention": _reads("repo"),
    # DVC
    "export_dvc": _reads("path"),
    # Access
    "grant": FREE,  # checked where it is written, in the same transaction
    "acl": _reads("repo"),
    # Checks themselves.
    "require_reader": FREE,
    "require_writer": FREE,
    "require_owner": FREE,
    "closed_repos": FREE,  # names of repos are told to everyone
}


def guard(verbs: type[T]) -> type[T]:
    """Put the check of its rule in front of each public method that a class of verbs defines itself."""
    for name, member in list(vars(verbs).items()):
        if not name.startswith("_") and callable(member) and not isinstance(member, type):
            setattr(verbs, name, _guarded(name, member))
    return verbs


def _guarded(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    rules = RULES.get(name)

    @wraps(verb)
    def checked(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        root: Root = self._root
        if root.principal is not None:
            _check(name, rules, root, _signature(verb).bind(self, *args, **kwargs).arguments)
        return verb(self, *args, **kwargs)

    return checked


def _check(name: str, rules: tuple[Rule, ...] | None, root: Root, arguments: Arguments) -> None:
    if rules is None:
        raise Denied(
            f"{root.principal} may not use {name}: RULES in airflow_pachy/pfs/client/guard.py does not say which right "
            "it needs; an administrator (a client without a principal) may"
        )
    for rule in rules:
        rule.check(root, arguments)

"""Roles and principals as text: what a caller says of itself, and what it may be granted.

Apart from `access`, which asks the database, since every client reads these and few need to ask.
"""

from __future__ import annotations

from enum import IntEnum

from airflow_pachy.errors import InvalidArgument

ALL_USERS = "allUsers"
KINDS = ("user", "robot", "group", "dag", "pipeline")
PRINCIPAL_LENGTH = 250
"""As the tables have it, which are not imported here."""


class Role(IntEnum):
    """What a principal may do with a repo; each role includes those before it."""

    NONE = 0
    READER = 1
    WRITER = 2
    OWNER = 3

    def __str__(self) -> str:
        return self.name


def parse_role(text: str) -> Role:
    """A role by its name, in any case; raises `InvalidArgument`."""
    try:
        return Role[str(text).upper()]
    except KeyError:
        raise InvalidArgument(f"{text!r} is not a role; use one of {', '.join(Role.__members__)}") from None


def check_principal(text: str) -> str:
    """Return a principal that can be granted something, or raise `InvalidArgument`."""
    kind, colon, name = text.partition(":")
    if text == ALL_USERS or (colon and kind in KINDS and _is_word(name) and len(text) <= PRINCIPAL_LENGTH):
        return text
    forms = ", ".join(f"{one}:NAME" for one in KINDS)
    raise InvalidArgument(
        f"{text!r} is not a principal; write {forms} or {ALL_USERS} (at most {PRINCIPAL_LENGTH} characters, "
        "no spaces or commas)"
    )


def parse_caller(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The principal and its groups from `user:ada,group:research`; raises `InvalidArgument` naming the wrong part."""
    if not text:
        return None, ()
    principal, *groups = (part.strip() for part in text.split(","))
    kind, colon, name = principal.partition(":")
    if principal == ALL_USERS or not _is_word(principal) or (colon and (kind not in KINDS or not name)):
        known = ", ".join(f"{one}:NAME" for one in KINDS)
        raise InvalidArgument(f"{principal!r} cannot be the principal of a client; write one of {known}")
    for group in groups:
        if not group.startswith("group:"):
            raise InvalidArgument(f"{group!r} in {text!r}: after the principal come its groups, as in group:research")
        check_principal(group)
    return principal, tuple(groups)


def _is_word(text: str) -> bool:
    return bool(text) and text.isprintable() and not any(one.isspace() or one == "," for one in text)

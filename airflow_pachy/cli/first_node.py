"""The object that a command will get first once it may: asked for while the command is still importing."""

from __future__ import annotations

from contextlib import suppress

from airflow_pachy.errors import PachyError
from airflow_pachy.metadata.glance import Glance


def first_node(metadata: str, commit: str) -> str | None:
    """The key of the root of a commit's tree, for `repo@branch` or `repo@id`; None if that takes more than a glance.

    What is wrong with the address or the database is for the command to say.
    """
    from airflow_pachy.pfs.address import parse_address
    from airflow_pachy.pfs.tree.refs import NodeRef

    glance = Glance.of(metadata)
    if glance is None:
        return None
    try:
        with suppress(PachyError):
            address = parse_address(commit)
            if address.ancestry:
                return None
            look = glance.commit if address.is_commit_id else glance.commit_of_branch
            found = look(address.repo, address.ref)
            return NodeRef.parse(found.tree).object if found is not None and found.tree else None
    finally:
        glance.close()
    return None

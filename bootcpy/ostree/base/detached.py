"""Detached metadata of commits: notes beside a commit that do not change what it is."""

from collections.abc import Mapping

from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.repo import explained


def write_detached(repo: OSTree.Repo, commit: str, values: Mapping[str, str | None]) -> None:
    """Note `values` on `commit`, and take those that are None away; other keys stay.

    Raises:
        NoSpaceError, BootcpyError: libostree fails.
    """
    with explained(f"cannot write the detached metadata of commit {commit}"):
        _, detached = repo.read_commit_detached_metadata(commit, None)
        before = _variants(detached)
        after = {key: value for key, value in before.items() if key not in values}
        for key, value in values.items():
            if value is not None:
                after[key] = GLib.Variant("s", value)
        if after or before:
            repo.write_commit_detached_metadata(commit, GLib.Variant("a{sv}", after), None)


def read_detached(repo: OSTree.Repo, commit: str, key: str) -> str | None:
    """Return the text that is noted on `commit` under `key`, None if there is none.

    Raises:
        gi.repository.GLib.Error: the repository cannot be read.
    """
    _, detached = repo.read_commit_detached_metadata(commit, None)
    value = _variants(detached).get(key)
    return value.get_string() if value is not None and value.get_type_string() == "s" else None


def _variants(metadata: GLib.Variant | None) -> dict[str, GLib.Variant]:
    """Return an `a{sv}` with its values unopened; other programs' keys stay what they are."""
    if metadata is None:  # there is none, which the stubs hide
        return {}
    entries = (metadata.get_child_value(i) for i in range(metadata.n_children()))
    return {
        entry.get_child_value(0).get_string(): entry.get_child_value(1).get_variant()
        for entry in entries
    }

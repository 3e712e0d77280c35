"""Whether everything is there that a commit names, which libostree does not ask when it writes."""

from bootcpy.errors import BootcpyError, ImageContentError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.layers.dirtree import parse_dirtree
from bootcpy.ostree.base.bindings import GLib, OSTree
from bootcpy.ostree.base.objects import octets, root_of

_NAMED = 3  # of what is missing; the rest is counted


def require_complete(repo: OSTree.Repo, commit: str, content: GLib.Variant) -> None:
    """Refuse a commit of which not all is stored, or that has directories that cannot be.

    It need not be stored itself: `content` is what it says.

    Raises:
        ImageContentError: says which.
    """
    try:
        lacking = _lacking(repo, content)
    except (GLib.Error, BootcpyError) as e:
        raise ImageContentError(
            f"the embedded commit {commit} is malformed: {e.message}",
            hint="the image is corrupt or hostile; do not use it",
        ) from e
    if lacking:
        named = shown_few(lacking, limit=_NAMED)
        raise ImageContentError(
            f"the embedded commit {commit} is incomplete: no layer of the image has {named}",
            hint="the image was built wrongly; build it again",
        )


def _lacking(repo: OSTree.Repo, commit: GLib.Variant) -> list[str]:
    """Return the paths in the tree of `commit` whose objects are missing."""
    OSTree.validate_structureof_commit(commit)
    found: list[str] = []
    seen: set[str] = set()
    todo = [("", root_of(commit))]
    while todo:
        path, tree = todo.pop()
        if tree.meta not in seen:
            seen.add(tree.meta)
            if _has(repo, OSTree.ObjectType.DIR_META, tree.meta):
                _, meta = repo.load_variant(OSTree.ObjectType.DIR_META, tree.meta)
                OSTree.validate_structureof_dirmeta(meta)
            else:
                found.append(f"the attributes of /{path}")
        if tree.contents in seen:
            continue
        seen.add(tree.contents)
        if not _has(repo, OSTree.ObjectType.DIR_TREE, tree.contents):
            found.append(f"the directory /{path}")
            continue
        _, variant = repo.load_variant(OSTree.ObjectType.DIR_TREE, tree.contents)
        OSTree.validate_structureof_dirtree(variant)
        listing = parse_dirtree(octets(variant))
        if not listing.files.keys().isdisjoint(listing.dirs):
            raise BootcpyError(
                f"/{path} is both a file and a directory",
                hint="the image is corrupt or hostile; do not use it",
            )
        prefix = f"{path}/" if path else ""
        found += [
            f"/{prefix}{name}"
            for name, checksum in listing.files.items()
            if not _has(repo, OSTree.ObjectType.FILE, checksum)
        ]
        todo += [(f"{prefix}{name}", child) for name, child in listing.dirs.items()]
    return found


def _has(repo: OSTree.Repo, kind: OSTree.ObjectType, checksum: str) -> bool:
    _, found = repo.has_object(kind, checksum, None)
    return found

"""Whether a merged image is what its checked layers make."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bootcpy.model.image.oci import ImageConfig, Manifest, classify_layers
from bootcpy.model.image.role import LayerRole
from bootcpy.model.layers.tree import TreeRef
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import RepoTrees, commit_metadata, commit_tree
from bootcpy.ostree.base.repo import explained, scratch
from bootcpy.ostree.image.merge import merged_tree
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST, KEY_MANIFEST_DIGEST
from bootcpy.ostree.image.verified import find_layer, find_layers, is_believed
from bootcpy.ostree.layers.embedded import role_of_layers_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """What a check of an image found.

    Attributes:
        different: the paths that are not as the layers have them.
        unknown: how many layers of the image were never checked here; then nothing is known.
    """

    different: tuple[str, ...] = ()
    unknown: int = 0


def recheck(repo: OSTree.Repo, repo_path: Path, commit: str) -> Rechecked | None:
    """Merge the layers of an image's commit once more and compare; None for other commits.

    Nothing is written. Other programs, and version 0.1 with their layers, merge the attributes of
    directories by another rule (docs/trust.md), so those count only in what was merged here from
    checked layers.

    Raises:
        ImageContentError: the commit's record of its image is malformed.
        NoSpaceError, BootcpyError: see `explained`.
    """
    with explained(f"the commit {commit} cannot be checked"):
        metadata = commit_metadata(repo, commit)
        if not {KEY_MANIFEST, KEY_CONFIG} <= metadata.keys():
            return None
        manifest = Manifest.parse(str(metadata[KEY_MANIFEST]))
        plan = classify_layers(manifest, ImageConfig.parse(str(metadata[KEY_CONFIG])))
        base = find_layer(repo, LayerRole.COMMIT, plan.commit.diff_id) if plan.commit else None
        checked, unknown = find_layers(repo, plan, role_of_layers_over(repo_path, base))
        if checked is None:
            return Rechecked(unknown=unknown)
        ours = is_believed(repo, str(metadata.get(KEY_MANIFEST_DIGEST)), commit)
        with scratch(repo):
            expected = merged_tree(repo, checked)
            found = _differences(repo, commit_tree(repo, commit), expected, attributes=ours)
            return Rechecked(different=tuple(sorted(found)))


def _differences(
    repo: OSTree.Repo, found: TreeRef, expected: TreeRef, *, attributes: bool
) -> Iterator[str]:
    """Yield the paths at which two trees differ; not what is below a directory of only one."""
    trees = RepoTrees(repo)
    todo = [("", found, expected)]
    while todo:
        path, one, other = todo.pop()
        if attributes and one.meta != other.meta:
            yield f"{path}/"
        if one.contents == other.contents:
            continue
        left, right = trees.load(one.contents), trees.load(other.contents)
        for name in left.files.keys() | right.files.keys():
            if left.files.get(name) != right.files.get(name):
                yield f"{path}/{name}"
        for name in left.dirs.keys() | right.dirs.keys():
            if name in left.dirs and name in right.dirs:
                todo.append((f"{path}/{name}", left.dirs[name], right.dirs[name]))
            else:
                yield f"{path}/{name}/"

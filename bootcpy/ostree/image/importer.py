"""An OCI image becomes an ostree commit: what is missing is fetched, then merged.

The refs and metadata are those of ostree-ext, so that bootc and rpm-ostree find every layer
that was imported here: `ostree/container/blob/...` for a layer, `ostree/container/image/...`
for an image. What is here already is found by refs of our own: see `bootcpy.ostree.image.verified`.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bootcpy.errors import ImageContentError, NoSpaceError
from bootcpy.model.base.progress import Progress
from bootcpy.model.base.progress_events import importing_event
from bootcpy.model.host.space import Download, ran_out, require_repo_room, unpacked_size
from bootcpy.model.image.oci import (
    Descriptor,
    ImageConfig,
    Layer,
    LayerPlan,
    Manifest,
    classify_layers,
)
from bootcpy.model.image.reference import ImageReference, Insecure, OstreeRemote, Signature
from bootcpy.model.image.role import LayerRole, in_roles
from bootcpy.model.layers.parts import total_cost
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import commit_metadata
from bootcpy.ostree.base.repo import drop_staged, open_repo, resolve
from bootcpy.ostree.base.space import read_repo_space
from bootcpy.ostree.image.merge import merge_layers
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST
from bootcpy.ostree.image.pull_report import Missing, Reporter
from bootcpy.ostree.image.refs import find_image_commit
from bootcpy.ostree.image.verified import (
    CheckedLayers,
    correct_shared,
    find_image,
    find_layer,
    find_layers,
    record_image,
    record_layer,
)
from bootcpy.ostree.layers import embedded, streamed, unpacked
from bootcpy.ostree.layers.commits import blob_ref
from bootcpy.ostree.layers.fetch import WantedLayer
from bootcpy.system.files.write_behind import WriteBehind
from bootcpy.system.image.containers_storage import find_layer_trees, image_id_of
from bootcpy.system.image.skopeo import OpenedImage

_WORKERS = min(os.cpu_count() or 1, 4)


def pull(
    repo_path: Path,
    image: OpenedImage,
    *,
    record_as: ImageReference,
    progress: Progress,
    signature: Signature = Insecure(),
    fsync: bool = True,
    before_fetch: Callable[[Download], None] = lambda _: None,
) -> str:
    """Import `image` and return its merge commit; the image ref is named after `record_as`.

    Layers that were checked when they came are not fetched again, whichever image they came
    with; those that other programs stored are. Each layer's refs are written as soon as that
    layer is whole, so an import that is cut short goes on from there.
    `before_fetch` may refuse what is going to be fetched, by raising.
    Of the kinds of `signature` only `OstreeRemote` is checked here, against the commit
    embedded in the image; a policy is the business of `skopeo.opened`.

    Raises:
        ImageUnavailableError, ImageContentError: the source or the image is bad.
        NoSpaceError: the layers do not fit.
    """
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    present = find_image(repo, record_as, image.manifest_digest)
    if present and not isinstance(signature, OstreeRemote):
        return present
    checked = import_layers(
        repo_path,
        image,
        record_as=record_as,
        progress=progress,
        signature=signature,
        fsync=fsync,
        before_fetch=before_fetch,
    )
    progress.stepped(importing_event(image.manifest_digest, done=False))
    with progress.step("Merging layers"):
        commit = merge_layers(
            repo,
            checked,
            manifest_text=image.manifest_text,
            config_text=image.config_text,
            manifest_digest=image.manifest_digest,
        )
    record_image(repo, record_as, image.manifest_digest, commit)
    progress.stepped(importing_event(image.manifest_digest, done=True))
    return commit


def import_layers(
    repo_path: Path,
    image: OpenedImage,
    *,
    record_as: ImageReference,
    progress: Progress,
    signature: Signature = Insecure(),
    fsync: bool = True,
    before_fetch: Callable[[Download], None] = lambda _: None,
) -> CheckedLayers:
    """Import what is missing of the layers of `image`; `record_as` is how it is called.

    See `pull` for all that this is called with, and may raise.
    """
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    plan = classify_layers(image.manifest, image.config)
    if plan.commit is None:
        embedded.require_embedded(signature, name=image.reference.name)
    missing = _find_missing(repo, image, plan, _foreseen_role(repo, repo_path, plan))
    download = _download(repo, record_as, image, missing)
    warning = require_repo_room(download, read_repo_space(repo, repo_path))
    before_fetch(download)
    progress.note(missing.describe())
    for note in (missing.describe_unchecked(), warning):
        if note:
            progress.note(note)
    with _telling_of_room(repo, repo_path, download), WriteBehind(repo_path) as disk:

        def report_of(missing: Missing) -> Reporter:
            report = Reporter(image, missing, progress, name=record_as.name)
            if not fsync:  # else libostree writes out every layer as it ends
                report.on_event(disk.nudge)
            return report

        task = _Import(repo_path, repo, image, missing, report_of(missing), fsync=fsync)
        base = task.base(plan.commit, signature) if plan.commit else None
        role = embedded.role_of_layers_over(repo_path, base)
        if role is not missing.tree_role:  # which the embedded commit had to tell
            found = missing.over_base(_find_missing(repo, image, plan, role))
            if found.describe() != missing.describe():
                progress.note(found.describe())
            task = replace(task, missing=found, report=report_of(found))
            for index in found.embedded():
                task.report.finished(index)
        task.derived(has_base=base is not None)
    checked, _ = find_layers(repo, plan, role)
    if checked is None:
        raise AssertionError(f"layers of {image.reference} were imported but have no refs")
    return checked


def _foreseen_role(repo: OSTree.Repo, repo_path: Path, plan: LayerPlan) -> LayerRole:
    """Return what the image's ordinary layers are stored as; a guess while its base is missing."""
    base = find_layer(repo, LayerRole.COMMIT, plan.commit.diff_id) if plan.commit else None
    if base is not None or plan.commit is None:
        return embedded.role_of_layers_over(repo_path, base)
    known = [find_layer(repo, LayerRole.USR_TREE, layer.diff_id) for layer in plan.derived]
    return LayerRole.USR_TREE if any(known) else LayerRole.TREE


def _recorded_layers(repo: OSTree.Repo, merged: str) -> list[tuple[Descriptor, str]]:
    """Return the layers of an image's commit with their diff_ids, none if it does not tell."""
    metadata = commit_metadata(repo, merged)
    try:
        manifest = Manifest.parse(str(metadata[KEY_MANIFEST]))
        config = ImageConfig.parse(str(metadata[KEY_CONFIG]))
    except (KeyError, ImageContentError):
        return []  # written by a program that records less
    return list(zip(manifest.layers, config.diff_ids, strict=False))


def _find_missing(
    repo: OSTree.Repo, image: OpenedImage, plan: LayerPlan, tree_role: LayerRole
) -> Missing:
    """Find out what is not here, and have the refs of others agree with what is."""
    delivered = dict(zip((blob.digest for blob in image.manifest.layers), image.blobs, strict=True))
    missing = Missing(tree_role)
    seen: set[tuple[LayerRole, str]] = set()
    for role, layer in in_roles(plan, tree_role):
        known = find_layer(repo, role, layer.diff_id) is not None
        if known:
            correct_shared(repo, role, layer)
        if (role, layer.diff_id) in seen:
            continue
        seen.add((role, layer.diff_id))
        if known:
            missing.present += 1
            missing.present_bytes += layer.blob.size_bytes
            continue
        missing.layers.append(WantedLayer(layer, delivered[layer.blob.digest], role))
        if resolve(repo, blob_ref(layer.blob.digest)) is not None:
            missing.unchecked.add(layer.blob.digest)
    return missing


def _download(
    repo: OSTree.Repo, record_as: ImageReference, image: OpenedImage, missing: Missing
) -> Download:
    """Return how large what is missing is, beside what it replaces of the version that is here."""
    commit = find_image_commit(repo, record_as)
    before = [] if commit is None else _recorded_layers(repo, commit)
    kept = set(image.config.diff_ids)
    return Download(
        name=record_as.name,
        size_bytes=missing.size_bytes,
        unpacked_bytes=unpacked_size(missing.new),
        replaced_bytes=missing.unchecked_bytes
        + sum(blob.size_bytes for blob, diff_id in before if diff_id not in kept),
    )


@contextmanager
def _telling_of_room(repo: OSTree.Repo, repo_path: Path, download: Download) -> Generator[None]:
    """Have the error of a full disk say what was needed, and give back what was begun.

    What is left of an import that was killed goes first: the next transaction would take it in,
    a commit without its files perhaps.
    """
    drop_staged(repo)
    try:
        yield
    except NoSpaceError as e:
        drop_staged(repo)
        raise ran_out(e, download, read_repo_space(repo, repo_path)) from e
    except BaseException:
        drop_staged(repo)  # of children that were ended; the next transaction would keep it
        raise


@dataclass(frozen=True, slots=True)
class _Import:
    """One import under way: stores the missing layers and sets the refs of each."""

    repo_path: Path
    repo: OSTree.Repo
    image: OpenedImage
    missing: Missing
    report: Reporter
    fsync: bool = field(kw_only=True)

    def base(self, commit_layer: Layer, signature: Signature) -> str:
        """Import the embedded commit, signed as `signature` demands, and return it."""
        indexes = self.missing.embedded()
        stored = embedded.import_base(
            self.repo_path,
            self.image,
            self._wanted(indexes),
            signature=signature,
            fsync=self.fsync,
            progress=self._counting(indexes),
        )
        self._set_refs(indexes, stored)
        commit = find_layer(self.repo, LayerRole.COMMIT, commit_layer.diff_id)
        if commit is None:
            raise AssertionError(f"layer {commit_layer.blob.digest} was imported but has no ref")
        embedded.require_signed(self.repo, commit, signature)
        return commit

    def derived(self, *, has_base: bool) -> None:
        """Import the ordinary layers: those that podman has unpacked straight from there."""
        indexes = self.missing.derived()
        # With a base, what podman unpacked is not what the layers hold: see REPO_PREFIX.
        local = {} if has_base else _unpacked_layers(self.image, self._wanted(indexes))
        by_tree = {indexes[position]: layer for position, layer in local.items()}
        if by_tree:
            self._from_trees(by_tree)
        by_stream = [index for index in indexes if index not in by_tree]
        if by_stream:
            stored = streamed.store_layers(
                self.repo_path,
                self.image,
                self._wanted(by_stream),
                workers=_WORKERS,
                fsync=self.fsync,
                allow_nonusr=self.missing.tree_role is LayerRole.TREE,
                progress=self._counting(by_stream),
            )
            self._set_refs(by_stream, stored)

    def _from_trees(self, layers: dict[int, unpacked.UnpackedLayer]) -> None:
        indexes = list(layers)
        cost = sum(total_cost(layer.scanned) for layer in layers.values())
        stored = unpacked.store_layers(
            self.repo_path,
            list(layers.values()),
            workers=_WORKERS,
            fsync=self.fsync,
            done=self.report.shared(cost, indexes),
        )
        self._set_refs(indexes, stored)

    def _wanted(self, indexes: Sequence[int]) -> list[WantedLayer]:
        return [self.missing.layers[index] for index in indexes]

    def _counting(self, indexes: Sequence[int]) -> Callable[[dict[int, int]], None]:
        return lambda counts: self.report.counted({
            indexes[position]: count for position, count in counts.items()
        })

    def _set_refs(self, indexes: Sequence[int], stored: Generator[tuple[int, str]]) -> None:
        """Set each layer's refs as soon as it is there; the work on layers ends with this.

        What is here was checked: a tar that came through skopeo against its diff_id, and
        what podman unpacked against podman's own record of the same digest.
        """
        with closing(stored):
            for position, commit in stored:
                index = indexes[position]
                wanted = self.missing.layers[index]
                record_layer(self.repo, wanted.role, wanted.layer, commit)
                self.report.finished(index)


def _unpacked_layers(
    image: OpenedImage, wanted: Sequence[WantedLayer]
) -> dict[int, unpacked.UnpackedLayer]:
    """Return the layers that can be read from podman's storage, by index in `wanted`."""
    image_id = image_id_of(image.reference)
    trees = find_layer_trees(image_id, image.config.diff_ids) if image_id else None
    if trees is None:
        return {}
    position = {diff_id: index for index, diff_id in enumerate(image.config.diff_ids)}
    found: dict[int, unpacked.UnpackedLayer] = {}
    for index, item in enumerate(wanted):
        layer = unpacked.scan(trees[position[item.layer.diff_id]])
        if layer is not None:
            found[index] = layer
    return found

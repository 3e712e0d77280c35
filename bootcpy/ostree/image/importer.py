"""An OCI image becomes an ostree commit: what is missing is fetched, then merged.

The refs and metadata are those of ostree-ext, so that bootc and rpm-ostree find every layer
that was imported here: `ostree/container/blob/...` for a layer, `ostree/container/image/...`
for an image. What is here already is found by refs of our own: see `bootcpy.ostree.image.verified`.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bootcpy.errors import ImageContentError, NoSpaceError
from bootcpy.model.base.progress import Progress
from bootcpy.model.base.progress_events import importing_event
from bootcpy.model.host.space import Download, ran_out, require_repo_space, unpacked_size
from bootcpy.model.image.missing import MissingLayers, WantedLayer, wanted_layers
from bootcpy.model.image.oci import (
    Descriptor,
    ImageConfig,
    Layer,
    LayerPlan,
    Manifest,
    classify_layers,
)
from bootcpy.model.image.reference import ImageReference, Insecure, OstreeRemote, Signature
from bootcpy.model.image.role import LayerRole
from bootcpy.model.layers.parts import total_cost
from bootcpy.ostree.base.bindings import OSTree
from bootcpy.ostree.base.objects import commit_metadata
from bootcpy.ostree.base.repo import drop_staged, open_repo, resolve
from bootcpy.ostree.base.space import read_repo_space
from bootcpy.ostree.image.merge import merge_layers
from bootcpy.ostree.image.metadata import KEY_CONFIG, KEY_MANIFEST
from bootcpy.ostree.image.pull_report import Reporter
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
    role = _foreseen_role(repo, repo_path, plan)
    missing_base = _find_missing(repo, _wanted(image, plan, role, derived=False))
    missing = missing_base + _find_missing(repo, _wanted(image, plan, role, derived=True))
    download = _download(repo, record_as, image, missing)
    warning = require_repo_space(download, read_repo_space(repo, repo_path))
    before_fetch(download)
    for note in (missing.describe(), missing.describe_unchecked(), warning):
        if note:
            progress.note(note)
    with _telling_of_space(repo, repo_path, download), WriteBehind(repo_path) as disk:
        report_on = partial(
            Reporter,
            image,
            progress=progress,
            name=record_as.name,
            # With fsync libostree writes out every layer as it ends.
            also=None if fsync else disk.start_writing,
        )
        task = _Import(repo_path, repo, image, report_on(missing), fsync=fsync)
        base = task.base(plan.commit, missing_base.layers, signature) if plan.commit else None
        foreseen, role = role, embedded.role_of_layers_over(repo_path, base)
        if role is not foreseen:  # which the embedded commit had to tell
            found = missing_base + _find_missing(repo, _wanted(image, plan, role, derived=True))
            if found.describe() != missing.describe():
                progress.note(found.describe())
            missing, task = found, replace(task, report=report_on(found))
            for layer in missing_base.layers:
                task.report.finished(layer)
        task.derived([each for each in missing.layers if each.role.is_derived], over=base)
    checked, _ = find_layers(repo, plan, role)
    if checked is None:
        raise AssertionError(f"layers of {image.reference} were imported but have no refs")
    return checked


def _foreseen_role(repo: OSTree.Repo, repo_path: Path, plan: LayerPlan) -> LayerRole:
    """Return what the image's derived layers are stored as; a guess while its base is missing."""
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


def _wanted(
    image: OpenedImage, plan: LayerPlan, tree_role: LayerRole, *, derived: bool
) -> list[WantedLayer]:
    """Return the derived layers of an image, or those of its embedded commit."""
    delivered = dict(zip((blob.digest for blob in image.manifest.layers), image.blobs, strict=True))
    layers = wanted_layers(plan, tree_role, delivered)
    return [each for each in layers if each.role.is_derived is derived]


def _find_missing(repo: OSTree.Repo, wanted: Sequence[WantedLayer]) -> MissingLayers:
    """Find out what is not here, and have the refs of others agree with what is."""
    checked = {each for each in wanted if find_layer(repo, each.role, each.layer.diff_id)}
    for each in wanted:
        if each in checked:
            correct_shared(repo, each.role, each.layer)
    digests = {each.layer.blob.digest for each in wanted if each not in checked}
    stored = {digest for digest in digests if resolve(repo, blob_ref(digest)) is not None}
    return MissingLayers.of(wanted, checked=checked, stored=stored)


def _download(
    repo: OSTree.Repo, record_as: ImageReference, image: OpenedImage, missing: MissingLayers
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
def _telling_of_space(repo: OSTree.Repo, repo_path: Path, download: Download) -> Generator[None]:
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
    """One import under way: stores missing layers and sets the refs of each."""

    repo_path: Path
    repo: OSTree.Repo
    image: OpenedImage
    report: Reporter
    fsync: bool = field(kw_only=True)

    def base(self, layer: Layer, missing: Sequence[WantedLayer], signature: Signature) -> str:
        """Return the commit embedded in `layer`, signed as `signature` demands.

        `missing` are those of its layers that are not here yet.
        """
        self._record(
            embedded.import_base(
                self.repo_path,
                self.image,
                missing,
                signature=signature,
                fsync=self.fsync,
                progress=self.report.counted,
            )
        )
        commit = find_layer(self.repo, LayerRole.COMMIT, layer.diff_id)
        if commit is None:
            raise AssertionError(f"layer {layer.blob.digest} was imported but has no ref")
        embedded.require_signed(self.repo, commit, signature)
        return commit

    def derived(self, layers: Sequence[WantedLayer], *, over: str | None) -> None:
        """Import derived layers `over` a base: those podman has unpacked straight from there."""
        # With a base, what podman unpacked is not what the layers hold: see REPO_PREFIX.
        from_trees = {} if over else _unpacked_layers(self.image, layers)
        if from_trees:
            cost = sum(total_cost(layer.scanned) for layer in from_trees.values())
            self._record(
                unpacked.store_layers(
                    self.repo_path,
                    from_trees,
                    workers=_WORKERS,
                    fsync=self.fsync,
                    done=self.report.shared(cost, from_trees),
                )
            )
        by_stream = [each for each in layers if each not in from_trees]
        if by_stream:
            self._record(
                streamed.store_layers(
                    self.repo_path,
                    self.image,
                    by_stream,
                    workers=_WORKERS,
                    fsync=self.fsync,
                    progress=self.report.counted,
                )
            )

    def _record(self, stored: Generator[tuple[WantedLayer, str]]) -> None:
        """Set each layer's refs as soon as it is there; the work on layers ends with this.

        What is here was checked: a tar that came through skopeo against its diff_id, and
        what podman unpacked against podman's own record of the same digest.
        """
        with closing(stored):
            for wanted, commit in stored:
                record_layer(self.repo, wanted.role, wanted.layer, commit)
                self.report.finished(wanted)


def _unpacked_layers(
    image: OpenedImage, layers: Sequence[WantedLayer]
) -> dict[WantedLayer, unpacked.UnpackedLayer]:
    """Return those of the layers that can be read from podman's storage."""
    image_id = image_id_of(image.reference)
    trees = find_layer_trees(image_id, image.config.diff_ids) if image_id else None
    if trees is None:
        return {}
    found = {each: unpacked.scan(trees[each.layer.diff_id]) for each in layers}
    return {each: layer for each, layer in found.items() if layer is not None}

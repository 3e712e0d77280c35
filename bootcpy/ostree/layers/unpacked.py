"""Layers that podman has unpacked already: stored straight from its storage.

Only the digest that podman recorded when it unpacked a layer vouches for these trees, as
it does whenever podman runs the image. Several children store parts of all layers at once.
"""

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from select import select

from bootcpy.model.image.missing import WantedLayer
from bootcpy.model.layers.parts import Cut, Extent, ScannedDirectory, batches, cut, total_cost
from bootcpy.model.layers.tar_paths import OPAQUE_MARKER, WHITEOUT_PREFIX, Kept, map_path
from bootcpy.model.layers.tree import Directory, TreeRef, split_path
from bootcpy.ostree.base.bindings import Gio, GLib, OSTree
from bootcpy.ostree.base.objects import (
    RepoTrees,
    store_file,
    write_directory_metadata,
    write_metadata_of,
)
from bootcpy.ostree.base.repo import explained, open_repo, transaction
from bootcpy.ostree.layers.commits import LayerTraits, write_layer, write_tree
from bootcpy.system.layers.scan import ForeignLayerError, scan_layer
from bootcpy.system.process.child import Child, forked

log = logging.getLogger(__name__)

_AT_FDCWD = -100
_BATCHES_PER_LAYER = 12  # enough that processes finish together, few enough to be cheap
_SMALLEST_BATCH = 4 << 20
_WHITEOUT_MODE = 0o100600

Stored = list[tuple[Cut, TreeRef]]


@dataclass(frozen=True, slots=True)
class UnpackedLayer:
    """A layer by its tree on disk and what a scan found there."""

    tree: Path
    scanned: ScannedDirectory


def scan(tree: Path) -> UnpackedLayer | None:
    """Look through an unpacked layer; None if it must be read another way.

    Raises:
        ImageContentError: it holds something that cannot be in an image.
    """
    try:
        return UnpackedLayer(tree, scan_layer(tree))
    except ForeignLayerError as e:
        log.info("reading the layer through skopeo: %s", e)
        return None


def store_layers(
    repo_path: Path,
    layers: Mapping[WantedLayer, UnpackedLayer],
    *,
    workers: int,
    fsync: bool,
    done: Callable[[int], None],
) -> Generator[tuple[WantedLayer, str]]:
    """Store layers and yield each one with its commit as it is complete.

    `done` is told the cost of every finished batch, for progress.

    Raises:
        NoSpaceError, BootcpyError: a file cannot be stored.
    """
    todo: list[tuple[WantedLayer, list[Cut]]] = []
    waiting: dict[WantedLayer, int] = {}
    for wanted, layer in layers.items():
        limit = max(total_cost(layer.scanned) // _BATCHES_PER_LAYER, _SMALLEST_BATCH)
        grouped = batches(cut(layer.scanned, limit=limit), limit=limit)
        todo += [(wanted, batch) for batch in grouped]
        waiting[wanted] = len(grouped)
    stored: dict[WantedLayer, Stored] = {wanted: [] for wanted in layers}
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    with ExitStack() as children:
        running: dict[Child[list[TreeRef]], tuple[WantedLayer, list[Cut]]] = {}
        while todo or running:
            while todo and len(running) < workers:
                wanted, batch = todo.pop(0)
                work = partial(store_batch, repo_path, layers[wanted].tree, batch, fsync=fsync)
                running[children.enter_context(forked(work))] = wanted, batch
            ready, _, _ = select(list(running), [], [])
            for child in ready:
                wanted, batch = running.pop(child)
                stored[wanted] += zip(batch, child.result(), strict=True)
                child.close()
                done(sum(part.cost for part in batch))
                waiting[wanted] -= 1
                if not waiting[wanted]:
                    yield wanted, _write_layer(repo, layers[wanted], stored.pop(wanted))


def store_batch(repo_path: Path, tree: Path, batch: list[Cut], *, fsync: bool) -> list[TreeRef]:
    """Store parts of the layer unpacked at `tree`; return their trees.

    Raises:
        NoSpaceError, BootcpyError: see `explained`.
    """
    repo = open_repo(repo_path)
    repo.set_disable_fsync(not fsync)
    with explained(f"cannot store the layer at {tree}"), transaction(repo):
        return [_store_part(repo, tree, part) for part in batch]


def _store_part(repo: OSTree.Repo, tree: Path, part: Cut) -> TreeRef:
    source = tree / part.directory.path
    if part.extent is Extent.NOTHING:
        empty = Directory(RepoTrees(repo), write_metadata_of(repo, source))
        return empty.write()
    if part.extent is Extent.LISTED:
        return _store_listed(repo, source)
    nodes = list(part.directory.walk()) if part.extent is Extent.TREE else [part.directory]
    below = {node.path.removeprefix(part.directory.path).lstrip("/"): node for node in nodes}
    large = {path: node.large for path, node in below.items() if node.large}
    mutable = OSTree.MutableTree.new()
    modifier = _modifier(large, files_only=part.extent is Extent.FILES)
    repo.write_dfd_to_mtree(_AT_FDCWD, str(source), mutable, modifier, None)
    stored = write_tree(repo, mutable)
    if not large:
        return stored
    root = Directory.from_ref(RepoTrees(repo), stored)
    for path, names in large.items():
        directory = root.find(path)
        assert directory is not None  # noqa: S101 - the scan found it, so libostree did
        for name in names:
            directory.files[name] = store_file(repo, source / path / name)
    return root.write()


def _modifier(large: Mapping[str, list[str]], *, files_only: bool) -> OSTree.RepoCommitModifier:
    """Return what makes libostree leave out the `large` files, and with `files_only` directories.

    The callback costs more than storing a small file: there is none where it has no task.
    """
    skipped = {
        f"/{path}/{name}".replace("//", "/") for path, names in large.items() for name in names
    }

    def decide(_repo: OSTree.Repo, path: str, found: Gio.FileInfo) -> OSTree.RepoCommitFilterResult:
        directory = files_only and found.get_file_type() == Gio.FileType.DIRECTORY
        if path in skipped or (directory and path != "/"):
            return OSTree.RepoCommitFilterResult.SKIP
        return OSTree.RepoCommitFilterResult.ALLOW

    needed = bool(skipped) or files_only
    return OSTree.RepoCommitModifier.new(
        OSTree.RepoCommitModifierFlags.NONE, decide if needed else None
    )


def _store_listed(repo: OSTree.Repo, source: Path) -> TreeRef:
    """Store the regular files and symbolic links of one directory."""
    directory = Directory(RepoTrees(repo), write_metadata_of(repo, source))
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or entry.is_symlink():
                directory.files[entry.name] = store_file(repo, Path(entry.path))
    return directory.write()


def _write_layer(repo: OSTree.Repo, layer: UnpackedLayer, stored: Stored) -> str:
    """Put the parts of a layer together and write its commit."""
    with explained("cannot store the layer"), transaction(repo):
        root, traits = _unite(repo, layer, stored)
        return write_layer(repo, root.write(), traits)


def _unite(
    repo: OSTree.Repo, layer: UnpackedLayer, stored: Stored
) -> tuple[Directory, LayerTraits]:
    store = RepoTrees(repo)
    implicit = {""}
    by_path = {part.directory.path: ref for part, ref in stored}
    root = Directory.from_ref(store, by_path.pop(""))
    # The storage makes the root up when the layer's tar has none: so do we, like the tar's reader.
    root.meta = write_directory_metadata(repo, uid=0, gid=0, mode=0o40755)
    # usr before etc, parents before children
    for path in sorted(by_path, key=lambda path: (path.partition("/")[0] == "etc", path)):
        directory, name = split_path(_mapped(path))
        parent = root.find(directory)
        if parent is None:  # only usr, when the layer has an etc and nothing below usr
            meta = write_directory_metadata(repo, uid=0, gid=0, mode=0o40755)
            parent = root.dirs[directory] = Directory(store, meta)
            implicit.add(directory)
        parent.dirs[name] = Directory.from_ref(store, by_path[path])
    hides = False
    for node in layer.scanned.walk():
        directory_there = root.find(_mapped(node.path)) if node.needs_care else None
        if directory_there is not None:
            hides = hides or bool(node.whiteouts) or node.opaque
            directory_there.meta = write_metadata_of(repo, layer.tree / node.path)
            _add_whiteouts(repo, directory_there, node)
    return root, LayerTraits(implicit=frozenset(implicit), whiteouts=hides)


def _mapped(path: str) -> str:
    """Return where a directory of the layer goes; parts are cut so that all are kept."""
    mapped = map_path(path, allow_nonusr=True)
    return mapped.path if isinstance(mapped, Kept) else path


def _add_whiteouts(repo: OSTree.Repo, directory: Directory, node: ScannedDirectory) -> None:
    """Write down what the layer hides in a directory, in the form a tar has it."""
    names = [f"{WHITEOUT_PREFIX}{name}" for name in node.whiteouts]
    if node.opaque:
        names.append(OPAQUE_MARKER)
    if names:
        content = repo.write_regfile_inline(
            None, 0, 0, _WHITEOUT_MODE, GLib.Variant("a(ayay)", []), b"", None
        )
        directory.files.update(dict.fromkeys(names, content))

"""Imports that are killed, and imports of large layers."""

import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootcpy.model.image.reference import ImageReference
from tests.layers import bootable_tree, file, noise
from tests.system.support.oci_images import LayerBlob, OciDirectory
from tests.system.support.pulls import Recorder, listing, pull, refs, require_sound

_IMPORT = """
import resource, sys
from pathlib import Path
from bootcpy.model.image.reference import ImageReference
from tests.system.support.pulls import pull
commit = pull(Path(sys.argv[1]), ImageReference.parse(sys.argv[2]))
# Not ru_maxrss, which begins with what the process that started this one had.
status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(commit)
"""
_PATIENCE_S = 30


def _command(repo_path: Path, image: ImageReference) -> list[str]:
    return [sys.executable, "-c", _IMPORT, str(repo_path), str(image)]


def _session_members(session: int) -> list[str]:
    """Return the processes of a session, by command line, that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((entry / "cmdline").read_text(encoding="utf-8"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _wait_until(what: str, *, deadline_s: float = _PATIENCE_S) -> Iterator[None]:
    """Yield until the caller breaks out; fail when that takes too long."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
    pytest.fail(f"not within {deadline_s} s: {what}")


@contextmanager
def _stalled(path: Path) -> Iterator[None]:
    """Replace a blob by a pipe that delivers its first half and then nothing."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)  # held open, so that a reader neither fails nor ends
    os.set_blocking(pipe, False)
    os.write(pipe, content[: min(len(content) // 2, 32768)])
    yield
    os.close(pipe)
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_import_keeps_whole_layers_and_leaves_no_process(
    repo_path: Path, oci: OciDirectory, by: signal.Signals
) -> None:
    layers = [
        LayerBlob.of(*bootable_tree()),
        LayerBlob.of(file("usr/share/second", noise(2, 100_000))),
        LayerBlob.of(file("usr/share/third", noise(3, 300_000))),
    ]
    image = oci.add_image(layers)
    with _stalled(oci.blob_path(layers[2].digest)):
        running = subprocess.Popen(
            _command(repo_path, image),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in _wait_until("two layers are whole"):
            if refs(repo_path).keys() == {layer.ref for layer in layers[:2]}:
                break
        assert len(_session_members(running.pid)) > 2
        running.send_signal(by)
        assert running.wait(_PATIENCE_S) != 0
        for _ in _wait_until("all processes are gone", deadline_s=5):
            if not _session_members(running.pid):
                break
    assert refs(repo_path).keys() == {layer.ref for layer in layers[:2]}
    require_sound(repo_path)

    for layer in layers[:2]:
        oci.blob_path(layer.digest).unlink()  # they are not fetched again
    story = Recorder()
    commit = pull(repo_path, image, progress=story)
    assert story.notes[0].startswith("layers already present: 2; layers needed: 1 (")
    assert {"usr/share/second", "usr/share/third"} <= listing(repo_path, commit).keys()
    require_sound(repo_path)


def test_an_import_killed_within_its_only_layer_starts_again(
    repo_path: Path, oci: OciDirectory
) -> None:
    layer = LayerBlob.of(*bootable_tree(), file("usr/share/a", noise(1, 400_000)))
    image = oci.add_image([layer])
    with _stalled(oci.blob_path(layer.digest)):
        running = subprocess.Popen(
            _command(repo_path, image), start_new_session=True, stdout=subprocess.DEVNULL
        )
        for _ in _wait_until("the layer's children run"):
            if len(_session_members(running.pid)) > 3:
                break
        running.kill()
        running.wait(_PATIENCE_S)
        for _ in _wait_until("all processes are gone", deadline_s=5):
            if not _session_members(running.pid):
                break
    assert refs(repo_path) == {}
    pull(repo_path, image)
    require_sound(repo_path)


# ----------------------------------------------------------------------------- large layers

_MIB = 1 << 20
_LARGEST_PROCESS_KIB = 96 * 1024  # Python with libostree takes half of it before it begins


class _Source:
    """Bytes that are made as they are read: noise at the begin, then zeros."""

    def __init__(self, noisy: int, size: int) -> None:
        self._chunk = noise(7, _MIB)
        self._noisy, self._left = noisy, size

    def read(self, size: int = _MIB) -> bytes:
        count = min(size, self._left)
        self._left -= count
        taken = (self._chunk * (count // _MIB + 1))[:count] if self._noisy > 0 else bytes(count)
        self._noisy -= count
        return taken


def _write_large_layer(path: Path, *, size: int, noisy: int) -> str:
    """Write a compressed layer with one file of `size` bytes and return its diff_id."""
    plain = path.with_suffix(".tar")
    with tarfile.open(plain, "w") as archive:
        for member in bootable_tree():
            archive.addfile(member.header, io.BytesIO(member.content))
        large = tarfile.TarInfo("usr/share/large")
        large.size = size
        archive.addfile(large, _Source(noisy, size))
    with plain.open("rb") as source, gzip.GzipFile(path, "wb", 1, mtime=0) as packed:
        while chunk := source.read(_MIB):
            packed.write(chunk)
    digest = subprocess.run(["sha256sum", plain], check=True, capture_output=True, text=True)
    plain.unlink()
    return f"sha256:{digest.stdout.split()[0]}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_stays_flat_for_a_layer_of_a_gigabyte(
    repo_path: Path, oci: OciDirectory, tmp_path: Path
) -> None:
    packed = tmp_path / "large.gz"
    diff_id = _write_large_layer(packed, size=1024 * _MIB, noisy=64 * _MIB)
    image = oci.add_image([LayerBlob(packed.read_bytes(), diff_id)])
    done = subprocess.run(
        _command(repo_path, image), check=True, capture_output=True, text=True, timeout=240
    )
    own_kib, largest_child_kib, commit = done.stdout.split()
    print(f"peak memory: {own_kib} KiB, largest child {largest_child_kib} KiB")
    assert listing(repo_path, commit)["usr/share/large"] == "-00644 0 0 1073741824"
    assert max(int(own_kib), int(largest_child_kib)) < _LARGEST_PROCESS_KIB

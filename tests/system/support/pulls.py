"""Importing for tests, and looking at what came of it."""

import subprocess
from pathlib import Path

from bootcpy.model.base.progress import BytesProgress, Silent
from bootcpy.model.image.reference import ImageReference, Insecure, Signature
from bootcpy.ostree.base.repo import list_refs, open_repo
from bootcpy.ostree.image import importer
from bootcpy.system.image import skopeo


class Recorder(Silent):
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.events: list[BytesProgress] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def transferred(self, event: BytesProgress) -> None:
        self.events.append(event)


def pull(
    repo_path: Path,
    source: ImageReference,
    *,
    record_as: ImageReference | None = None,
    signature: Signature = Insecure(),
    progress: Recorder | None = None,
) -> str:
    """Import an image without waiting for the disk and return its merge commit."""
    with skopeo.opened(source, signature=signature) as image:
        return importer.pull(
            repo_path,
            image,
            record_as=record_as or source,
            progress=progress or Recorder(),
            signature=signature,
            fsync=False,
        )


def refs(repo_path: Path) -> dict[str, str]:
    """Return all refs about containers, without their common prefix."""
    found = list_refs(open_repo(repo_path), "ostree/container")
    return {ref.removeprefix("ostree/container/"): commit for ref, commit in found.items()}


def listing(repo_path: Path, commit: str) -> dict[str, str]:
    """Return a commit's paths with their modes, owners, sizes and link targets."""
    text = ostree(repo_path, "ls", "--recursive", "--xattrs", commit)
    found: dict[str, str] = {}
    for line in text.splitlines():
        facts, _, path = line.partition(" /")
        path, arrow, target = path.partition(" -> ")
        found[path] = " ".join(facts.replace("{ @a(ayay) [] }", "").split()) + arrow + target
    return found


def content(repo_path: Path, commit: str, path: str) -> str:
    return ostree(repo_path, "cat", commit, path)


def ostree(repo_path: Path, *args: str) -> str:
    done = subprocess.run(
        ["ostree", f"--repo={repo_path}", *args], check=True, capture_output=True, text=True
    )
    return done.stdout


def require_sound(repo_path: Path) -> None:
    """Have libostree check every object against its checksum."""
    ostree(repo_path, "fsck", "--quiet")

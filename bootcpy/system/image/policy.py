"""The policy.json that governs this system, and the keys it names."""

import os
from pathlib import Path
from typing import Final

from bootcpy.errors import ImageUnavailableError
from bootcpy.model.base.printable import printable
from bootcpy.model.image.acceptance import Acceptance, Demand
from bootcpy.model.image.policy import MOST_CHARACTERS, Policy, PolicyFormatError, Requirements
from bootcpy.model.image.policy_demands import demands_of, digest_of, named_files
from bootcpy.model.image.reference import ImageReference

POLICY_VARIABLE: Final = "CONTAINERS_POLICY_JSON"
_MOST_KEY_BYTES = 1 << 24
_FORMAT_HINT = "write it as containers-policy.json(5) says"


def find_policy_file() -> Path | None:
    """Return the policy.json that governs us, in bootc's order of search."""
    if named := os.environ.get(POLICY_VARIABLE):
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    places = (Path(config), Path("/etc"), Path("/usr/share"))
    candidates = (place / "containers/policy.json" for place in places)
    return next((path for path in candidates if path.exists()), None)


def require_policy(reference: ImageReference) -> None:
    """Refuse when policy.json demands nothing though a signature was asked for.

    Raises:
        ImageUnavailableError: there is no policy, or it accepts anything: by default, as in
            bootc, or for this image.
    """
    path, policy = _read(f"which signature {reference} must carry")
    if policy.default.accept_anything:
        raise ImageUnavailableError(
            f"{path} specifies a default of `insecureAcceptAnything`; refusing usage",
            hint="make its default `reject` and name the images you trust",
        )
    governing = policy.governing(_resolved(reference))
    if governing.accept_anything:
        raise ImageUnavailableError(
            f"{path} demands no signature of {reference}: it has {governing}",
            hint="change that entry to one that requires a signature, such as `signedBy`",
        )


def describe_requirements(reference: ImageReference) -> str | None:
    """Return what the policy demands of an image, None if there is none to be read."""
    try:
        _, policy = _read("what is accepted")
    except ImageUnavailableError:
        return None
    return str(policy.governing(_resolved(reference)))


def read_acceptance(reference: ImageReference) -> Acceptance:
    """Return what the policy demands of an image now, as the record of one that meets it.

    Raises:
        ImageUnavailableError: there is no policy, or it cannot be read.
    """
    path, policy = _read(f"whether {reference} is accepted")
    governing = policy.governing(_resolved(reference))
    return Acceptance(
        image=str(reference.for_pull()), words=f"{governing} in {path}", demands=_demands(governing)
    )


def _demands(requirements: Requirements) -> tuple[Demand, ...]:
    digests = {}
    for name in named_files(requirements):
        try:
            digests[name] = digest_of(_read_bytes(Path(name), _MOST_KEY_BYTES))
        except OSError:
            continue  # no signature can be checked by it
    return demands_of(requirements, digests)


def _read(what: str) -> tuple[Path, Policy]:
    path = find_policy_file()
    if path is None or not path.exists():
        raise ImageUnavailableError(
            f"there is no policy.json that says {what}",
            hint="write /etc/containers/policy.json, see containers-policy.json(5)",
        )
    try:
        text = _read_bytes(path, MOST_CHARACTERS).decode()
        return path, Policy.parse(text)
    except OSError as e:
        raise ImageUnavailableError(f"cannot read {path}: {e.strerror}", hint=_FORMAT_HINT) from e
    except (PolicyFormatError, UnicodeDecodeError) as e:
        problem = "it is not UTF-8 text" if isinstance(e, UnicodeDecodeError) else printable(str(e))
        raise ImageUnavailableError(
            f"{path} is not a valid policy: {problem}", hint=_FORMAT_HINT
        ) from e


def _read_bytes(path: Path, most: int) -> bytes:
    """Return a file's contents, or the beginning of what is longer than it may be."""
    with path.open("rb") as file:
        return file.read(most + 1)


def _resolved(reference: ImageReference) -> ImageReference:
    """Return `reference` with the links in its path followed, as a policy names paths."""
    if not reference.transport.is_file:
        return reference.for_pull()
    path, colon, rest = reference.name.partition(":")
    return ImageReference(reference.transport, f"{os.path.realpath(path)}{colon}{rest}")

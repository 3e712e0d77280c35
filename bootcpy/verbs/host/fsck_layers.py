"""The check `layers` of `bootc internals fsck`: whether deployed images are what they claim."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bootcpy.errors import BootcpyError, ImageError, ImageUnavailableError, NoSpaceError
from bootcpy.model.host.deployments import Deployment
from bootcpy.model.image.reference import ImageReference, Transport
from bootcpy.ostree.image import importer
from bootcpy.system.image.skopeo import OpenedImage
from bootcpy.verbs.host.change import REPO, System
from bootcpy.verbs.host.fetch import with_image

_NAMED = 3  # of the paths that differ; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFindings:
    """What is wrong, and what cannot be known; a line for each image."""

    problems: tuple[str, ...]
    unknown: tuple[str, ...]


def check_layers(system: System, *, fetch: bool) -> LayerFindings:
    """Merge the image of each deployment anew from its checked layers, and compare.

    With `fetch`, layers that were never checked here are fetched from where the
    deployment's origin says, which checks them.

    Raises:
        BootcpyError: the repository cannot be read, or the scratch space runs out.
    """
    problems: list[str] = []
    unknown: list[str] = []
    for deployment in _by_commit(system):
        name = _name(deployment)
        try:
            found = system.ostree.recheck(deployment.checksum)
            if fetch and found and found.unknown:
                _fetch(system, deployment)
                found = system.ostree.recheck(deployment.checksum)
        except ImageError as e:
            unknown.append(f"{name}: {e.message}")
            continue
        except NoSpaceError:
            raise
        except BootcpyError as e:  # an object is damaged or gone: the other checks go on
            problems.append(f"{name}: {e.message}")
            continue
        if found is None:
            continue
        if found.unknown:
            unknown.append(
                f"{name}: {found.unknown} of its layers were stored by another program or an older "
                "version and never checked; the next update, or --fetch, checks them"
            )
        elif found.different:
            problems.append(
                f"{name} is poisoned: it differs from its layers in "
                f"{_listed(found.different)}; do not trust it: switch to another version of the "
                "image, or install again"
            )
    return LayerFindings(problems=tuple(problems), unknown=tuple(unknown))


def _by_commit(system: System) -> Iterator[Deployment]:
    """Yield a deployment for each commit that was made from an image."""
    seen: set[str] = set()
    for deployment in system.state.deployments:
        if deployment.image is not None and deployment.checksum not in seen:
            seen.add(deployment.checksum)
            yield deployment


def _fetch(system: System, deployment: Deployment) -> None:
    """Import the layers of exactly the image that is deployed.

    Raises:
        ImageError: it is nowhere to be had any more, or is not what it claims to be.
    """
    origin, record = deployment.origin.image, deployment.image
    if origin is None or record is None:
        raise ImageUnavailableError(
            "its origin does not say where it came from", hint="follow an image: bootc switch IMAGE"
        )
    digest = record.manifest_digest

    def use(source: OpenedImage) -> None:
        if source.manifest_digest != digest:
            raise ImageUnavailableError(
                f"{origin.image} has another version in the registry now",
                hint="upgrade to it: bootc upgrade",
            )
        importer.import_layers(
            REPO,
            source,
            record_as=origin.image,
            progress=system.progress,
            signature=origin.signature,
        )

    image = origin.image
    if image.transport is Transport.REGISTRY:
        image = ImageReference(Transport.REGISTRY, f"{image.repository}@{digest}")
    with_image(replace(origin, image=image), system.progress, use)


def _name(deployment: Deployment) -> str:
    origin = deployment.origin.image
    image = str(origin.image) if origin else "an image"
    digest = deployment.image.manifest_digest if deployment.image else ""
    return f"{image} {digest} (commit {deployment.checksum})"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

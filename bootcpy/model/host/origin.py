"""Origin files: what a deployment follows, as text and as data.

Every deployment has a key file beside it that says where it came from. bootc writes one
key into it; libostree and rpm-ostree keep state of their own there, which is read here
only as far as it decides what may be done with the deployment.
"""

import re
from dataclasses import dataclass
from typing import Self

from bootcpy.errors import DeploymentError, ReferenceFormatError
from bootcpy.model.base.printable import printable
from bootcpy.model.image.reference import SignedImageReference

_GROUP = "origin"
_IMAGE_KEY = "container-image-reference"
_REFSPEC_KEYS = ("refspec", "baserefspec")
# What GLib's key files escape in values; a backslash before anything else is no escape here.
_ESCAPE = re.compile(r"\\([sntr\\])")
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_SHOWN = 80  # characters of a line that cannot be read
# rpm-ostree keeps client-side layering in these; bootc calls such a deployment incompatible.
_LAYERING_GROUPS = ("rpmostree", "packages", "overrides", "modules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a deployment follows: an image, or an ostree ref, or nothing.

    `layering` names the key file groups in which rpm-ostree recorded local changes;
    an origin with any is left alone.
    """

    image: SignedImageReference | None = None
    refspec: str | None = None
    layering: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, name: str) -> Self:
        """Read an origin file's text; `name` is the file, for messages.

        Raises:
            DeploymentError: the text is not a key file, or its image reference is malformed.
        """
        groups = _parse_key_file(text, name)
        origin = groups.get(_GROUP, {})
        reference = origin.get(_IMAGE_KEY)
        try:
            image = None if reference is None else SignedImageReference.parse(reference)
        except ReferenceFormatError as e:
            raise DeploymentError(
                f"{name}: {_IMAGE_KEY}: {e.message}",
                hint="correct the file, or remove the deployment with ostree admin undeploy",
            ) from e
        return cls(
            image=image,
            refspec=next((origin[key] for key in _REFSPEC_KEYS if key in origin), None),
            layering=tuple(group for group in _LAYERING_GROUPS if group in groups),
        )


def render_origin(image: SignedImageReference) -> str:
    """Return the text of an origin file that follows `image`, and nothing else.

    A reference has no control characters, so that a backslash is all there is to escape.
    """
    escaped = str(image).replace("\\", r"\\")
    return f"[{_GROUP}]\n{_IMAGE_KEY}={escaped}\n"


def _parse_key_file(text: str, name: str) -> dict[str, dict[str, str]]:
    """Read GLib's key file format: groups of `key=value`, `#` comments, blank lines."""
    groups: dict[str, dict[str, str]] = {}
    keys: dict[str, str] | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            keys = groups.setdefault(line[1:-1], {})
            continue
        key, equals, value = line.partition("=")
        if keys is None or not equals:
            raise DeploymentError(
                f"{name}:{number}: not a key file line: {printable(line, limit=_SHOWN)!r}",
                hint="correct the file, or remove the deployment with ostree admin undeploy",
            )
        keys[key.rstrip()] = _ESCAPE.sub(lambda match: _ESCAPES[match[1]], value.lstrip())
    return groups

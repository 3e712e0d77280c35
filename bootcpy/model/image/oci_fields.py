"""The fields of an image's JSON documents, read by type and within limits.

Whatever is wrong raises `FieldError`, whose text names the field: `layers[3].size is
negative`. A field that is null counts as absent, as in Go, where these documents come from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bootcpy.model.base.printable import printable

# The limits of the documents. containers/image reads no manifest or configuration beyond
# 4 MiB from a registry; an image has 127 layers at most with overlayfs, and a few hundred
# where each holds packages.
MOST_MANIFEST_CHARACTERS = 4 << 20
MOST_CONFIG_CHARACTERS = 8 << 20
MOST_LAYERS = 4096
MOST_HISTORY = 4 * MOST_LAYERS  # steps without a layer count too
MOST_LABELS = 10_000
MOST_LABEL_CHARACTERS = 2 << 20  # names and values together
LONGEST_WORD = 256  # a media type, an architecture, a time
LARGEST_BLOB_BYTES = 2**63 - 1

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHOWN = 80


class FieldError(ValueError):
    """A field is missing, of another type, or beyond a limit."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one JSON object; `place` is where it stands in the document."""

    values: Mapping[str, Any]
    place: str = ""

    @classmethod
    def of(cls, value: object, place: str = "") -> Self:
        """Return the members of `value`.

        Raises:
            FieldError: it is no object.
        """
        if not isinstance(value, Mapping):
            raise FieldError(f"{place or 'it'} is not an object")
        return cls(value, place)

    def inside(self, key: str) -> "Fields":
        """Return the members of an object that must be there."""
        return Fields.of(self.values.get(key), self._name(key))

    def inside_or_empty(self, key: str) -> "Fields":
        """Return the members of an object that may be missing."""
        value = self.values.get(key)
        return Fields.of({} if value is None else value, self._name(key))

    def each(self, key: str, *, most: int) -> Iterator["Fields"]:
        """Yield the members of the objects in the list `key`."""
        for index, value in enumerate(self._list(key, most)):
            yield Fields.of(value, f"{self._name(key)}[{index}]")

    def word(self, key: str) -> str | None:
        """Return a short string, None if there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "not a string", value)
        if value is not None and len(value) > LONGEST_WORD:
            raise self.wrong(key, f"longer than {LONGEST_WORD} characters", value)
        return value

    def size_bytes(self, key: str) -> int:
        """Return a number of bytes, which must be there."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(key, "not a whole number", value)
        if not 0 <= value <= LARGEST_BLOB_BYTES:
            raise self.wrong(key, "not the size of a blob", value)
        return value

    def digest(self, key: str) -> str:
        """Return a digest, which must be there."""
        return self._digest(self._name(key), self.values.get(key))

    def digests(self, key: str, *, most: int) -> tuple[str, ...]:
        """Return the digests in the list `key`, none if there is no list."""
        name = self._name(key)
        return tuple(
            self._digest(f"{name}[{index}]", value)
            for index, value in enumerate(self._list(key, most))
        )

    def texts(self, key: str) -> dict[str, str]:
        """Return an object of strings, such as labels; empty if there is none."""
        found = self.inside_or_empty(key)
        if len(found.values) > MOST_LABELS:
            raise FieldError(f"{found.place} has more than {MOST_LABELS:,} members")
        total = 0
        for name, value in found.values.items():
            if not isinstance(value, str):
                raise found.wrong(name, "not a string", value)
            total += len(name) + len(value)
        if total > MOST_LABEL_CHARACTERS:
            raise FieldError(f"{found.place} is longer than {MOST_LABEL_CHARACTERS:,} characters")
        return dict(found.values)

    def _list(self, key: str, most: int) -> list[Any]:
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "not a list", value)
        if len(value) > most:
            raise FieldError(f"{self._name(key)} has {len(value):,} members, more than {most:,}")
        return value

    @staticmethod
    def _digest(name: str, value: object) -> str:
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            raise FieldError(f"{name} is not a sha256 digest: {_shown(value)}")
        return value

    def _name(self, key: str) -> str:
        key = printable(key, limit=_SHOWN)
        return f"{self.place}.{key}" if self.place else key

    def wrong(self, key: str, problem: str, value: object) -> FieldError:
        """Return the error that says what is wrong with the member `key`."""
        if value is None:
            return FieldError(f"{self._name(key)} is missing")
        return FieldError(f"{self._name(key)} is {problem}: {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return printable(repr(value[:_SHOWN]), limit=_SHOWN)
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return json.dumps(value)

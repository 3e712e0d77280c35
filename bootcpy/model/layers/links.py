"""The hard links of a layer: which content each of them has. Pure.

Targets are looked up by walking links, in the order of their targets, and the layer's paths side
by side, so that neither need be held in memory.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from bootcpy.errors import ImageContentError
from bootcpy.model.layers.limits import CHAINED_LINKS, hostile, shown, too_many
from bootcpy.model.layers.records import (
    CHECKSUM_BYTES,
    MemberKind,
    Path,
    grouped,
    pack_request,
    path_of,
    unpack_request,
)


class Sorter(Protocol):
    """Something that puts byte strings in order, for as many as there may be."""

    def add(self, item: bytes) -> None:
        """Take one more."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield all of them in order, as often as asked."""

    def __bool__(self) -> bool:
        """Tell whether there is anything."""


def resolve_links(
    records: Sorter, new_sorter: Callable[[], Sorter]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield each hard link's key with the checksum of its content, in the order of the keys.

    A link may point to a file, wherever it is in the layer, or to a link before it.

    Raises:
        ImageContentError: it points to anything else.
    """
    requests, answers = new_sorter(), new_sorter()
    for path in grouped(records):
        if path.last.kind is MemberKind.LINK:
            requests.add(pack_request(path.last.payload, path.last.number, path.key))
    chained: list[tuple[int, bytes, bytes]] = []
    for (target, number, key), found in _joined(requests, records):
        if found is not None and found.last.kind is MemberKind.LINK and found.last.number < number:
            chained.append((number, key, target))
            if len(chained) > CHAINED_LINKS:
                raise too_many("hard links to hard links", CHAINED_LINKS)
        elif found is None or found.file is None:
            raise _lacks(key, target)
        else:
            answers.add(key + b"\0\0" + found.file.payload)
    return _merged(answers, _follow(chained, answers))


def _joined(
    requests: Iterable[bytes], records: Iterable[bytes]
) -> Iterator[tuple[tuple[bytes, int, bytes], Path | None]]:
    """Yield each request with what there is at its target."""
    paths = grouped(records)
    found = next(paths, None)
    for request in map(unpack_request, requests):
        while found is not None and found.key < request[0]:
            found = next(paths, None)
        yield request, found if found is not None and found.key == request[0] else None


def _follow(
    chained: list[tuple[int, bytes, bytes]], answers: Iterable[bytes]
) -> list[tuple[bytes, bytes]]:
    """Return what the links to links come to, in the order of their keys."""
    if not chained:
        return []
    wanted = {target for _, _, target in chained}
    known = {key: content for key, content in map(_split, answers) if key in wanted}
    followed: list[tuple[bytes, bytes]] = []
    for _, key, target in sorted(chained):  # in the order of the layer: what it names is known
        content = known.get(target)
        if content is None:
            raise _lacks(key, target)
        if key in wanted:
            known[key] = content
        followed.append((key, content))
    return sorted(followed)


def _merged(
    answers: Iterable[bytes], followed: list[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes]]:
    rest = iter(followed)
    other = next(rest, None)
    for answer in map(_split, answers):
        while other is not None and other < answer:
            yield other
            other = next(rest, None)
        yield answer
    if other is not None:
        yield other
        yield from rest


def _split(answer: bytes) -> tuple[bytes, bytes]:
    return answer[: -CHECKSUM_BYTES - 2], answer[-CHECKSUM_BYTES:]


def _lacks(key: bytes, target: bytes) -> ImageContentError:
    return hostile(
        f"the layer's hard link {shown(path_of(key))} points to {shown(path_of(target))}, "
        "which the layer lacks"
    )

"""Kernel arguments with an owner: which program asked for which, kept in the boot entry.

The keys `x-options-source-NAME` of a Boot Loader Specification entry are bootc's. Such a key
holds the part of `options` that the program NAME asked for, so that it can be replaced or
removed later. A key with an empty value says that NAME owns nothing: libostree can change
keys, but not remove them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bootcpy.errors import BootcpyError, UsageError
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.model.boot.kargs import extend, parse_kargs, without

KEY_PREFIX = "x-options-source-"
_NAME = re.compile(r"[A-Za-z0-9_-]+")

Sources = Mapping[str, str]  # what each program owns, as one line


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedKargs:
    """The kernel arguments of a deployment (without `ostree=`), and who owns which of them."""

    kargs: tuple[str, ...]
    sources: Sources


def parse_source(name: str) -> str:
    """Return the name of a program that may own arguments.

    Raises:
        BootcpyError: it has characters that a key cannot have; bootc's exit status is 1.
    """
    if not _NAME.fullmatch(name):
        raise BootcpyError(
            f"invalid source name {name!r}", hint="use letters, digits, dashes and underscores"
        )
    return name


def parse_options(text: str | None) -> tuple[str, ...]:
    """Return the arguments in `text`; none for an empty one.

    Raises:
        UsageError: it spans lines, leaves a quote open, or has the argument of libostree.
    """
    if text is None or not text.strip():
        return ()
    params = parse_kargs([text], option="--options")
    for param in params:
        if param.startswith("ostree="):
            raise UsageError(
                f"--options has {param!r}", hint="remove it: libostree sets that argument"
            )
    return params


def read_sources(entry: str) -> dict[str, str]:
    """Return what the text of a boot entry says that each program owns."""
    found = {}
    for line in entry.splitlines():
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key.startswith(KEY_PREFIX):
            found[key.removeprefix(KEY_PREFIX)] = value.strip()
    return found


def plan_source(current: OwnedKargs, source: str, wanted: Sequence[str]) -> OwnedKargs | None:
    """Return the arguments once `source` owns `wanted` in place of what it owned; None if it does.

    The new ones go where the first of the old ones was, so that asking for the same again
    changes nothing, as with bootc. Unlike bootc's, an argument stays as long as another
    source owns it.
    """
    others = [
        param
        for name, line in current.sources.items()
        if name != source
        for param in split_kargs(line)
    ]
    before = current.sources.get(source, "")
    kept = without(current.kargs, without(split_kargs(before), others))
    gone = set(current.kargs) - set(kept)
    place = next((i for i, param in enumerate(current.kargs) if param in gone), len(kept))
    added = extend(kept, wanted)[len(kept) :]
    planned = OwnedKargs(
        kargs=(*kept[:place], *added, *kept[place:]),
        sources={**current.sources, source: " ".join(wanted)},
    )
    same = planned.kargs == current.kargs and planned.sources[source] == before
    return None if same else planned


def owned(sources: Sources) -> tuple[str, ...]:
    """Return every argument that some program owns."""
    return tuple(param for line in sources.values() for param in split_kargs(line))

"""Kernel arguments: reading, comparing, merging, and the image's kargs.d files.

A kernel command line is a sequence of parameters separated by white space, where
double quotes protect white space (kernel: lib/cmdline.c). Keys compare with `-` and
`_` alike, as the kernel's own lookup does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from bootcpy import paths
from bootcpy.errors import ConfigurationError, UsageError
from bootcpy.model.base.architecture import Architecture
from bootcpy.model.base.toml import parse_toml, place_of, shown_value
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.model.image.tree import ImageTree, configuration, names


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelArguments:
    """The kernel arguments of an installation, by where they come from.

    The image's own (kargs.d) are known only once it is imported;
    `merge_for_install` puts all of them in the final order.
    """

    root: tuple[str, ...]  # root=UUID=..., rw
    config: tuple[str, ...] = ()  # install configuration
    config_delete: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()  # --karg
    command_line_delete: tuple[str, ...] = ()  # --karg-delete


def root_kargs(filesystem_uuid: UUID | str) -> tuple[str, ...]:
    """Return the arguments that name the root file system and make it writable."""
    return (f"root=UUID={filesystem_uuid}", "rw")


def parse_kargs(texts: Iterable[str], *, option: str = "--karg") -> tuple[str, ...]:
    """Return the parameters of `texts`, each of which may hold several.

    Raises:
        UsageError: a text is empty, spans lines, or leaves a quote open; `option` is where
            it was given.
    """
    params: list[str] = []
    for text in texts:
        problem = _problem(text)
        if problem is not None:
            raise UsageError(f"{option} {text!r} {problem}", hint="write it as key or key=value")
        params += split_kargs(text)
    return tuple(params)


def _problem(text: str) -> str | None:
    if not text.strip():
        return "is empty"
    if "\n" in text or "\0" in text:
        return "has more than one line"
    if not _is_utf8(text):
        return "is not UTF-8"
    if text.count('"') % 2:
        return "has a quotation mark that is not closed"
    return None


def _is_utf8(text: str) -> bool:
    """Tell whether a word of the command line was text: other bytes become lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _identity(param: str) -> tuple[str, str | None]:
    """Return what makes two parameters equal: the key, folded, and the value, unquoted."""
    bare = _unquote(param)
    key, equals, value = bare.partition("=")
    return key.replace("-", "_"), _unquote(value) if equals else None


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def extend(params: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    """Return `params` followed by those of `more` that it does not have yet."""
    out = list(params)
    seen = {_identity(param) for param in params}
    for param in more:
        identity = _identity(param)
        if identity not in seen:
            seen.add(identity)
            out.append(param)
    return tuple(out)


def without(params: Iterable[str], unwanted: Iterable[str]) -> tuple[str, ...]:
    """Return `params` less each that is equal to one of `unwanted`."""
    gone = {_identity(param) for param in unwanted}
    return tuple(param for param in params if _identity(param) not in gone)


def delete(params: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """Return `params` less what `patterns` name: `key` all of that key, `key=value` that one."""
    exact = {_identity(pattern) for pattern in patterns}
    keys = {key for key, value in exact if value is None}
    return tuple(
        param
        for param in params
        if _identity(param) not in exact and _identity(param)[0] not in keys
    )


def merge_for_install(kargs: KernelArguments, image: Sequence[str]) -> tuple[str, ...]:
    """Return an installation's kernel arguments in bootc's final order; `image` is kargs.d.

    First what names the root, then those of the command line (bootc's to-disk hands them
    over with the root's), the install configuration's, the image's; deletions apply to all
    of these, and what the command line asked for is put back last if a deletion took it.
    """
    params = extend((), kargs.root)
    params = extend(params, kargs.command_line)
    params = extend(params, kargs.config)
    params = extend(params, image)
    params = delete(params, (*kargs.config_delete, *kargs.command_line_delete))
    return extend(params, kargs.command_line)


def kargs_after_upgrade(
    current: Sequence[str], old_image: Sequence[str], new_image: Sequence[str]
) -> tuple[str, ...]:
    """Return a deployment's arguments after its image's kargs.d changed from old to new.

    As bootc's get_kargs, but for an image without a kargs.d: bootc then removes nothing, and
    here that is an empty one.
    """
    kept = without(current, without(old_image, new_image))
    return extend(kept, without(new_image, old_image))


def kargs_d(tree: ImageTree) -> tuple[tuple[str, str], ...]:
    """Return the path in the image, and the text, of each file in its kargs.d.

    What is no file is left out; bytes that are no text are replaced.

    Raises:
        ImageContentError: one cannot be read, or is too large; or there are too many.
    """
    found = (paths.KARGS_D / name for name in names(tree, paths.KARGS_D) if name.endswith(".toml"))
    contents = ((path, configuration(tree, path)) for path in found)
    return tuple(
        (f"/{path}", content.decode(errors="replace"))
        for path, content in contents
        if content is not None
    )


def parse_kargs_d(files: Iterable[tuple[str, str]], machine: str) -> tuple[str, ...]:
    """Return what the kargs.d `files` (name, text) add on `machine`, in file name order.

    Raises:
        ConfigurationError: a file is no TOML, or has an unknown key or a wrong type.
    """
    params: tuple[str, ...] = ()
    for name, text in sorted(files):
        if name.endswith(".toml"):
            params = extend(params, _parse_fragment(name, text, machine))
    return params


def _parse_fragment(name: str, text: str, machine: str) -> tuple[str, ...]:
    table = parse_toml(name, text)
    for key in table:
        if key not in {"kargs", "match-architectures"}:
            raise ConfigurationError(
                f"{place_of(name, text, [key])}: unknown key {shown_value(key)}",
                hint="known are kargs and match-architectures",
            )
    if "kargs" not in table:
        raise ConfigurationError(f"{name}: the key 'kargs' is missing")
    place = {key: place_of(name, text, [key]) for key in table}
    texts = string_array(place["kargs"], "kargs", table["kargs"])
    for value in texts:
        problem = _problem(value)
        if problem is not None:
            raise ConfigurationError(
                f"{place['kargs']}: kargs has {shown_value(value)}, which {problem}"
            )
    wanted = table.get("match-architectures")
    if wanted is not None and not matches_architecture(
        string_array(place["match-architectures"], "match-architectures", wanted), machine
    ):
        return ()
    return parse_kargs(texts)


def string_array(file_name: str, key: str, value: object) -> tuple[str, ...]:
    """Return a TOML array of strings.

    Raises:
        ConfigurationError: `value` is something else.
    """
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigurationError(
        f"{file_name}: {key} must be a list of strings, not {shown_value(value)}"
    )


def matches_architecture(wanted: Sequence[str], machine: str) -> bool:
    """Return whether `machine` (as `uname -m` prints it) is among Rust's names `wanted`."""
    return Architecture.of(machine).rust in wanted

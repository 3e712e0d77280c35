"""Where this host's apt gets Debian from, so that an image can be built from the same place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootcpy.errors import BootcpyError

_APT = Path("/etc/apt")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SUITES = ("bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable")
_WORDS_WITH_SUITE = 3  # deb URI SUITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place packages come from."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None


def of_suite(sources: Iterable[Source], suite: str) -> tuple[str, ...]:
    """Return sources.list(5) lines for Debian `suite`, from the places in `sources`.

    What the host takes for its own release is taken for `suite`: the archive itself, its
    updates, and the security archive.

    Raises:
        BootcpyError: none of the sources is a Debian archive.
    """
    lines: dict[str, None] = {}  # in order, each once
    for ending in ("", "-updates", "-security"):
        wanted = {f"{name}{ending}" for name in _SUITES}
        for source in sources:
            if wanted.intersection(source.suites) and "main" in source.components:
                signed_by = source.signed_by or _KEYRING
                line = f"deb [signed-by={signed_by}] {source.uri} {suite}{ending} main"
                lines.setdefault(line)
                break
        if not lines:
            raise BootcpyError(
                "this host's apt knows no Debian archive to build the base image from",
                hint="name a base image that can be had: --base IMAGE",
            )
    return tuple(lines)


def read_sources(directory: Path = _APT) -> tuple[Source, ...]:
    """Return the enabled sources of the host's apt, of either format."""
    found: list[Source] = []
    for path in (directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".list":
            found.extend(parse_lines(text))
        elif path.suffix == ".sources":
            found.extend(parse_deb822(text))
    return tuple(found)


def parse_lines(text: str) -> tuple[Source, ...]:
    """Return the sources in a file of one-line entries, sources.list(5)."""
    return tuple(
        source
        for line in text.splitlines()
        if (source := _parse_line(line.partition("#")[0])) is not None
    )


def _parse_line(line: str) -> Source | None:
    kind, _, rest = line.strip().partition(" ")
    if kind != "deb":
        return None
    options, rest = "", rest.strip()
    if rest.startswith("["):
        options, _, rest = rest[1:].partition("]")
    words = rest.split()
    if len(words) < _WORDS_WITH_SUITE:
        return None
    named = dict(word.partition("=")[::2] for word in options.split())
    return Source(
        uri=words[0],
        suites=(words[1],),
        components=tuple(words[2:]),
        signed_by=named.get("signed-by"),
    )


@dataclass(slots=True)
class _Stanza:
    fields: dict[str, str] = field(default_factory=dict)
    last: str = ""

    def add(self, line: str) -> None:
        if line[0].isspace():
            self.fields[self.last] += f"\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            self.last = name.strip().lower()
            self.fields[self.last] = value.strip()


def parse_deb822(text: str) -> tuple[Source, ...]:
    """Return the sources in a deb822 file, sources.list(5)."""
    stanzas = [_Stanza()]
    for line in text.splitlines():
        if not line.strip():
            stanzas.append(_Stanza())
        elif not line.startswith("#"):
            stanzas[-1].add(line)
    return tuple(_from_stanzas(stanza.fields for stanza in stanzas if stanza.fields))


def _from_stanzas(stanzas: Iterable[dict[str, str]]) -> Sequence[Source]:
    found: list[Source] = []
    for fields in stanzas:
        if fields.get("enabled", "yes") == "no" or "deb" not in fields.get("types", "").split():
            continue
        signed_by = fields.get("signed-by", "")
        found.extend(
            Source(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=signed_by if signed_by.startswith("/") else None,  # else a key itself
            )
            for uri in fields.get("uris", "").split()
        )
    return found

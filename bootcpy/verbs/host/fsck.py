"""`bootc internals fsck`: whether what the system boots from is whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootcpy import paths
from bootcpy.errors import BootcpyError, ConfigurationError, DeploymentError
from bootcpy.model.base.listing import shown_few
from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.bls import Entry, parse_entry
from bootcpy.model.boot.cmdline import split_kargs
from bootcpy.ostree.base.repo import file_objects
from bootcpy.system.files.fsverity import has_verity
from bootcpy.verbs.base.rights import require_rights
from bootcpy.verbs.host.change import System, changing
from bootcpy.verbs.host.fsck_layers import check_layers

_BOOT = Path("/boot")
_YES = frozenset({"yes", "true", "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check by name, and what it found: nothing is well.

    `unknown` is what it could not look at, for want of something to compare with.
    """

    check: str
    problem: str | None = None
    unknown: str | None = None


def fsck(progress: Progress, *, fetch: bool) -> tuple[Finding, ...]:
    """Run bootc's checks, `etc-resolvconf` and `fsverity`, and ours, `boot-entries` and `layers`.

    With `fetch`, layers that were never checked here are fetched, to check them.
    When libostree cannot read its deployments, that is a finding of `deployments` in place
    of bootc's checks: the boot entries may say why.

    Raises:
        BootcpyError: this is no host that ostree booted, or rights are missing.
    """
    require_rights()
    entries = _finding("boot-entries", _check_boot_entries())
    try:
        with changing(progress) as system:
            layers = check_layers(system, fetch=fetch)
            return (
                _finding("etc-resolvconf", _check_resolv_conf(system)),
                _finding("fsverity", _check_verity(system)),
                entries,
                _finding("layers", layers.problems, layers.unknown),
            )
    except DeploymentError as e:
        if not paths.OSTREE_BOOTED.exists():
            raise
        return (Finding(check="deployments", problem=e.message), entries)


def require_no_problem(findings: tuple[Finding, ...]) -> None:
    """End the command as bootc does when something was found.

    Raises:
        DeploymentError: a check found a problem.
    """
    if any(finding.problem for finding in findings):
        raise DeploymentError(
            "Encountered errors", hint="correct the problems that are listed above"
        )


def _finding(name: str, problems: Iterable[str], unknown: Iterable[str] = ()) -> Finding:
    return Finding(check=name, problem=_listed(problems), unknown=_listed(unknown))


def _listed(found: Iterable[str]) -> str | None:
    return shown_few(tuple(found), limit=20, separator="; ") or None


def _check_resolv_conf(system: System) -> Iterator[str]:
    """Find a file that a container build left behind; it would hide the host's own."""
    for root in system.ostree.list_deployment_roots():
        shipped = root / "usr/etc/resolv.conf"
        if shipped.is_file() and not shipped.is_symlink() and shipped.stat().st_size == 0:
            yield f"{shipped} is a zero-sized file"


def _check_verity(system: System) -> Iterator[str]:
    if system.ostree.read_setting("ex-integrity", "fsverity").lower() not in _YES:
        return
    stored = file_objects(paths.SYSROOT / paths.REPO)
    bare = [path for path in stored if not path.is_symlink()]
    unprotected = [path for path in bare if not has_verity(path)]
    if unprotected:
        yield f"{len(unprotected)} of {len(bare)} objects have no fs-verity, as {unprotected[0]}"


def _check_boot_entries() -> Iterator[str]:
    """Find entries that name a kernel, an initramfs or a deployment that is gone."""
    found = sorted((_BOOT / "loader/entries").glob("ostree-*.conf"))
    if not found:
        yield f"{_BOOT}/loader/entries has no entry of ostree"
    for path in found:
        try:
            entry = parse_entry(path.name, path.read_text(encoding="utf-8"))
        except (ConfigurationError, OSError, UnicodeDecodeError) as e:
            yield f"{path}: {e.message if isinstance(e, BootcpyError) else e}"
            continue
        yield from (f"{path}: {name} is missing" for name in _find_missing(entry))


def _find_missing(entry: Entry) -> Iterator[str]:
    for file in (entry.linux, *entry.initrd):
        # In /boot is a link to itself, so that this holds with and without a prefix.
        if not (_BOOT / file.lstrip("/")).is_file():
            yield file
    for argument in split_kargs(entry.options):
        key, _, value = argument.partition("=")
        if key == "ostree" and not (paths.SYSROOT / value.lstrip("/")).is_dir():
            yield argument

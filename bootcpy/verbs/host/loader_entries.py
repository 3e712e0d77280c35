"""`bootc loader-entries set-options-for-source`: kernel arguments that other programs own."""

from bootcpy.model.base.progress import Progress
from bootcpy.model.boot.owned_kargs import OwnedKargs, parse_options, parse_source, plan_source
from bootcpy.model.host.decisions import HELD_BACK
from bootcpy.model.host.deployments import Deployment
from bootcpy.system.host import notice
from bootcpy.verbs.boot.boot_check import note_staged
from bootcpy.verbs.host.change import Outcome, System, changing
from bootcpy.verbs.host.stage import clean_up


def set_options_for_source(source: str, options: str | None, progress: Progress) -> Outcome:
    """Let `source` own the kernel arguments `options` from the next boot on, and no others.

    What is staged is staged again with them, else what is booted.

    Raises:
        UsageError: `options` is malformed.
        BootcpyError: `source` is, or libostree is older than 2026.1, or fails.
        DeploymentError: the system cannot be changed.
    """
    name, wanted = parse_source(source), parse_options(options)
    with changing(progress) as system:
        system.ostree.require_owned_kargs_support()
        base = system.state.staged or system.booted
        current = system.ostree.read_owned_kargs(base)
        planned = plan_source(current, name, wanted)
        if planned is None:
            return Outcome(lines=(f"No changes needed for source '{name}'",))
        return _restage(system, base, planned, name)


def _restage(system: System, base: Deployment, kargs: OwnedKargs, source: str) -> Outcome:
    for note in system.ostree.require_mergeable_etc(base.checksum):
        system.progress.note(note)
    with system.progress.step("Deploying"):
        system.ostree.restage(base, kargs)
        note_staged()
    clean_up()
    if not base.finalization_locked:
        notice.ask_for_reboot(f"kernel arguments of source '{source}'")
    notice.announce_change()
    held = (HELD_BACK,) if base.finalization_locked else ()
    return Outcome(lines=(f"Staged the kernel arguments of source '{source}'", *held))

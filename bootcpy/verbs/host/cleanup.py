"""`bootc internals cleanup`: remove what no deployment needs."""

from bootcpy.model.base.progress import Progress
from bootcpy.verbs.host.change import changing
from bootcpy.verbs.host.stage import clean_up


def cleanup(progress: Progress) -> tuple[str, ...]:
    """Do what follows every staging, and return the line that says how much went.

    Raises:
        BootcpyError: the system cannot be changed, or libostree fails.
    """
    with changing(progress):
        return clean_up()

"""What units of the system call: the boot check and the message of the day."""

from bootcpy.model.progress import Silent


def boot_check() -> None:
    """Fail if the update that was staged before this boot did not arrive."""
    from bootcpy.verbs import boot_check as verb

    verb.boot_check(Silent())


def publish_motd() -> None:
    """Write the message of the day: what is staged, or what was lost."""
    from bootcpy.verbs import boot_check as verb

    verb.publish_motd()

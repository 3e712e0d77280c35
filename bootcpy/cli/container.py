"""`bootc container`: words about an image's own root file system."""

from bootcpy.cli import progress


def prepare() -> None:
    """Make this root file system bootable; for the last RUN of a Containerfile.

    Takes a Debian or Ubuntu root file system with one kernel, dracut and ostree-boot, and
    can be run again at the end of every derived image.
    """
    from bootcpy.verbs.container import prepare

    with progress.opened() as sink:
        prepare.prepare(sink)

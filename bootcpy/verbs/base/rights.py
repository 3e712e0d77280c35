"""Who may change a host: root with full rights, and not from inside a container."""

from bootcpy.errors import EnvironmentMismatchError, PrivilegeError
from bootcpy.system.host import environment


def require_rights() -> None:
    """Refuse to go on in a container, or without full rights.

    Raises:
        EnvironmentMismatchError: this is a container.
        PrivilegeError: a right is missing.
    """
    if environment.is_in_container():
        raise EnvironmentMismatchError(
            "Detected container; this command requires a booted host system.",
            hint="run it on the host",
        )
    process = environment.read_process()
    if process.uid != 0:
        raise PrivilegeError(
            "This command must be executed as the root user", hint="run it with sudo"
        )
    if not process.has_sys_admin:
        raise PrivilegeError(
            "This command requires full root privileges (CAP_SYS_ADMIN)",
            hint="run it in a session or unit that has CAP_SYS_ADMIN",
        )

"""`install print-configuration`: what the install configuration says, merged."""

from pathlib import Path

from bootcpy import paths
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.system.files.drop_ins import read_drop_ins
from bootcpy.system.host.environment import machine


def read_config() -> InstallConfig:
    """Return the install configuration of the system or container this runs in.

    Raises:
        ConfigurationError: a file of it is malformed.
    """
    bases = [base / paths.INSTALL_CONFIG_D for base in paths.INSTALL_CONFIG_BASES]
    return merge_install_config(read_drop_ins(Path("/"), bases, suffix=".toml"), machine())

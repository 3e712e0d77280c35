"""`install print-configuration`: what the install configuration says, merged."""

from pathlib import Path

from bootcpy import paths
from bootcpy.model.image.drop_ins import drop_ins
from bootcpy.model.install.config import InstallConfig, merge_install_config
from bootcpy.system.files.directory_tree import DirectoryTree
from bootcpy.system.host.environment import machine


def read_config() -> InstallConfig:
    """Return the install configuration of the system or container this runs in.

    Raises:
        ConfigurationError: a file of it is malformed.
    """
    bases = [base / paths.INSTALL_CONFIG_D for base in paths.INSTALL_CONFIG_BASES]
    fragments = drop_ins(DirectoryTree(Path("/")), bases, suffix=".toml")
    return merge_install_config(fragments, machine())

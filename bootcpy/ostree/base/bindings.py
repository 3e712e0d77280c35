"""The libostree bindings, loaded once and in the right locale.

libostree before 2026.1 converts names through the locale's encoding and fails on
non-ASCII ones in the C locale; a `LC_ALL` of C.UTF-8 must be set before it is used.
"""

import locale
from contextlib import suppress

import gi

gi.require_version("OSTree", "1.0")

from gi.repository import Gio, GLib, OSTree  # noqa: E402 - the version comes first

with suppress(locale.Error):  # a system without C.UTF-8 has ASCII names only
    locale.setlocale(locale.LC_ALL, "C.UTF-8")

__all__ = ["GLib", "Gio", "OSTree"]

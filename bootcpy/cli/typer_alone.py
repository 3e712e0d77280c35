"""Typer, loaded without rich.

Debian 13's typer loads rich when it is imported, for coloured help that this program has
switched off; that costs `bootc status` a third of its time. Newer ones load it late.
"""

import sys

_loaded = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # this is how an import is made to fail
try:
    import typer
finally:
    if _loaded is None:
        del sys.modules["rich"]
    else:
        sys.modules["rich"] = _loaded

__all__ = ["typer"]

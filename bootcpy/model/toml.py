"""Reading TOML: the configuration files of images and installations."""

from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from bootcpy.errors import ConfigurationError


def parse_toml(name: str, text: str) -> dict[str, Any]:
    """Return the tables of the file `name` as plain data.

    Raises:
        ConfigurationError: `text` is no TOML; the message names the line where that is known.
    """
    try:
        return tomlkit.parse(text).unwrap()
    except ParseError as e:
        what = str(e).removesuffix(f" at line {e.line} col {e.col}").rstrip(".")
        raise ConfigurationError(f"{name}:{e.line}: not valid TOML: {what}") from e
    except TOMLKitError as e:  # found while tables are put together, when lines are forgotten
        raise ConfigurationError(f"{name}: not valid TOML: {str(e).rstrip('.')}") from e

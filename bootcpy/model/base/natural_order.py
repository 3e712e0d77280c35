"""The order in which people count: "10" after "9"."""

import re


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return what sorts `text` among others with its numbers by size, however long they are.

    Text and numbers alternate, so that like is compared with like.
    """
    parts = re.split(r"([0-9]+)", text)
    return [_number(part) if index % 2 else (0, part) for index, part in enumerate(parts)]


def _number(digits: str) -> tuple[int, str]:
    significant = digits.lstrip("0")
    return (len(significant), significant)  # not int(), which refuses thousands of digits

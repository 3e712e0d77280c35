"""Names in a message: a few of them, however many there are."""

from collections.abc import Collection
from itertools import islice


def shown_few(names: Collection[str], *, limit: int = 5, separator: str = ", ") -> str:
    """Return the first `limit` of `names`, and how many more there are: "a, b and 99,998 more"."""
    shown = separator.join(islice(names, limit))
    more = len(names) - limit
    if more <= 0:
        return shown
    return f"{shown} and {more:,} more" if shown else f"{more:,}"

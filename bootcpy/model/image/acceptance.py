"""Which requirements of a policy an image met, and whether those of today go further.

An image that is here already can be deployed without asking anybody. What its download was
judged by is kept with it, so that a policy that demands more since then counts all the same.
"""

import json
from dataclasses import asdict, dataclass
from typing import Self

from bootcpy.model.base.strict_json import StrictJsonError, parse_strict_json

_MOST_CHARACTERS = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One requirement, by the contents of the files that it names.

    Attributes:
        kind: its type, such as `signedBy`.
        keys: digests of its keyrings, of which any may have made the signature.
        rest: what else it says, as canonical JSON.
    """

    kind: str
    keys: tuple[str, ...]
    rest: str

    def is_met_by(self, met: "Demand") -> bool:
        """Tell whether whatever satisfied `met` satisfies this."""
        return (met.kind, met.rest) == (self.kind, self.rest) and set(met.keys) <= set(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """That an image satisfied a policy when it was opened.

    Attributes:
        image: the reference it was opened by, `docker://...`.
        words: the requirements, and the file they stood in, for people.
        demands: the requirements; none if anything was accepted.
    """

    image: str
    words: str
    demands: tuple[Demand, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `to_text` wrote; None if it is something else."""
        try:
            raw = parse_strict_json(text, most_characters=_MOST_CHARACTERS)
            demands = tuple(
                Demand(
                    kind=str(each["kind"]),
                    keys=tuple(str(key) for key in each["keys"]),
                    rest=str(each["rest"]),
                )
                for each in raw["demands"]
            )
            return cls(image=str(raw["image"]), words=str(raw["words"]), demands=demands)
        except (StrictJsonError, LookupError, TypeError):
            return None

    def to_text(self) -> str:
        """Return the record as JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def is_enough(self, image: str, today: tuple[Demand, ...]) -> bool:
        """Tell whether `image` would satisfy the demands of today, by what it satisfied then."""
        met = self.demands if self.image == image else ()
        return all(any(demand.is_met_by(each) for each in met) for demand in today)

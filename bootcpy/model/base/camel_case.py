"""How names of ours are spelt in JSON that other programs read."""


def camel_case(name: str) -> str:
    """Return a field's name, `steps_total`, as it is written: `stepsTotal`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)

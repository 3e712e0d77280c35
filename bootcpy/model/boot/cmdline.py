"""The kernel command line as text; imports nothing, for the program that runs at shutdown."""

_SPACE = " \t\n\v\f\r"  # what separates parameters for the kernel (lib/cmdline.c)


def split_kargs(text: str) -> tuple[str, ...]:
    """Return the parameters of a command line, quotes kept as they stand."""
    params: list[str] = []
    current = ""
    quoted = False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char in _SPACE and not quoted:
            if current:
                params.append(current)
            current = ""
        else:
            current += char
    if current:
        params.append(current)
    return tuple(params)

r"""Foreign text made harmless for a terminal, a log or a document.

Labels, partition names, a registry's answers and file names are others' to choose. What
moves a cursor, begins a line or turns the direction of writing is shown as an escape:
ESC as `\x1b`, a newline as `\n`, U+202E as `\u202e`.
"""

import re

# Of what an image says of itself, on a line of ours: more could fill the terminal's line and
# seem to begin the next.
LONGEST_LABEL = 64

_ELLIPSIS = "…"
_BLANKS = "\xa0"  # between a number and its unit
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LAST_OF_BMP = 0xFFFF


def printable(text: str, *, limit: int | None = None) -> str:
    """Return `text` on one line, with every character that is not printable as an escape.

    These are Unicode's categories Other and Separator but for blanks, nearly as for repr():
    the controls C0, DEL and C1, what directs writing, what separates lines and paragraphs,
    lone surrogates, all that is unassigned. A backslash stays as it is, so that doing it
    twice changes nothing. With `limit`, no more than that many characters are returned, the
    last of them an ellipsis where something is missing.
    """
    if limit is not None and len(text) > limit:
        text = text[: max(limit, 1)]  # an escape is longer than what it is of, never shorter
        return _cut(_escaped(text) + _ELLIPSIS, limit)
    escaped = text if text.isprintable() else _escaped(text)
    return escaped if limit is None else _cut(escaped, limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + _ELLIPSIS


def _escaped(text: str) -> str:
    return "".join(
        each if each in _BLANKS or each.isprintable() else _escape(each) for each in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code <= 0xFF:  # noqa: PLR2004 - Latin-1, two digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_OF_BMP else f"\\U{code:08x}"


def escaped_json(document: str) -> str:
    r"""Return a JSON text with what is not printable in its strings as `\uXXXX`.

    `json.dumps` leaves DEL and, where it may write other than ASCII, C1 and the rest as
    they are. Line breaks that only set the document out stay.
    """
    return re.sub(r"[^\n -~]", lambda match: _json_escape(match[0]), document)


def _json_escape(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def yaml_quoted(text: str) -> str:
    """Return `text` as a double-quoted scalar of YAML with nothing but printable characters.

    Unlike in JSON, a character beyond U+FFFF is one escape and not two surrogates.
    """
    known = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(known)}"'

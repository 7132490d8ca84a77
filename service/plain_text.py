"""Makes text from users safe for logs and terminals: control characters are written as escapes.

So are line ends, which would make one line look like two. Called by the CLI and the log formatters.
"""

import re

_LINE_ENDS = "\n\t"
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, the escape character among them
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # invisible ones, and changes of text direction
    "\u2028\u2029"  # line ends of Unicode
    "\ud800-\udfff]"  # surrogates, which cannot be encoded
)


def plain(text: str) -> str:
    """Return a text as one line without control characters."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def plain_lines(text: str) -> str:
    """Return a text without control characters except line ends and tabs."""
    return _OBEYED.sub(lambda found: found[0] if found[0] in _LINE_ENDS else ascii(found[0])[1:-1], text)

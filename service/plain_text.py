"""How other people's words go to logs and terminals: what a terminal obeys is written out instead.

So is what would make one line look like two: names, messages and paths are anybody's. Called by the
CLI and the log formatters.
"""

import re

_LINE_ENDS = "\n\t"
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, the escape character among them
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # unseen ones, and such as turn the direction round
    "\u2028\u2029"  # line ends of Unicode
    "\ud800-\udfff]"  # halves of characters, which no stream takes
)


def plain(text: str) -> str:
    """Return a text as one line that says the same and does nothing."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def plain_lines(text: str) -> str:
    """Return a text of several lines likewise; its line ends and tabs stay what they are."""
    return _OBEYED.sub(lambda found: found[0] if found[0] in _LINE_ENDS else ascii(found[0])[1:-1], text)

"""Free text as numbers: the set of its words, pairs of words and groups of letters that training rows share.

A network learns a vector for each of these tokens, and sums them. They are stored as hashes (crc32), the most
frequent first. A text of one word, such as a ticket number, is described by its prefix and length.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from traind.data.limits import TEXT_TOKENS, text_width
from traind.data.table.arrays import Codes

_MAX_LETTERS = 20_000_000  # characters of a column, beyond which only words are used
_LEAST_ROWS = 2  # fewest rows that share a token
_LONGEST = 4_000  # characters of a text that are used
_WORDS = re.compile(r"\w+")
_SIGNS = re.compile(r"[^\w\s]")
_DIGIT = re.compile(r"[0-9]")
_PREFIX = re.compile(r"[^\W0-9_]{1,6}")


class TextRule(Struct, frozen=True):
    """How one column of free text is encoded: `tokens[i]` has the index `i + 1`; 0 stands for no further token."""

    column: str
    tokens: tuple[int, ...]  # hashes, the most frequent in training rows first
    width: int  # columns of the encoded table, one for each token of a text
    has_letters: bool = True  # groups of letters are tokens too

    def places(self, texts: tuple[str, ...]) -> NDArray[np.int32]:
        """Return (texts, width) indices of tokens, 0 where there are no more."""
        index = {token: place for place, token in enumerate(self.tokens, 1)}
        found = np.zeros((len(texts), self.width), np.int32)
        for row, text in enumerate(texts):
            known = {index.get(token, 0) for token in tokens_of(text, has_letters=self.has_letters)} - {0}
            rarest = sorted(known, reverse=True)[: self.width]
            found[row, : len(rarest)] = rarest
        return found


def fit_text(column: str, cells: Codes) -> TextRule | None:
    """Return the rule fitted on the texts of training rows; None where no two rows share a token."""
    counts = cells.counts()
    texts = [(text, n) for text, n in zip(cells.levels, counts.tolist(), strict=True) if n]
    has_letters = sum(min(len(text), _LONGEST) for text, _ in texts) <= _MAX_LETTERS
    rows: Counter[int] = Counter()
    found: list[NDArray[np.uint32]] = []  # arrays, since sets would be twenty times as large
    for text, n in texts:
        tokens = set(tokens_of(text, has_letters=has_letters))
        found.append(np.fromiter(tokens, np.uint32, len(tokens)))
        rows.update(dict.fromkeys(tokens, n))
    total = sum(n for _, n in texts)
    often = [(n, token) for token, n in rows.items() if _LEAST_ROWS <= n < total]
    kept = [token for _, token in sorted(often, key=lambda one: (-one[0], one[1]))[:TEXT_TOKENS]]
    if not kept:
        return None
    known = set(kept)
    lengths = np.array([len(known.intersection(tokens.tolist())) for tokens in found])
    width = int(np.clip(np.quantile(lengths, 0.95), 1, text_width(len(cells))))
    return TextRule(column, tuple(kept), width, has_letters)


def tokens_of(text: str, *, has_letters: bool) -> Iterator[int]:
    """Yield the hashes of a text's tokens, some of them twice."""
    text = text[:_LONGEST].lower()
    words = _WORDS.findall(text)
    yield _hash("n", str(min(len(words), 40)))
    if len(words) <= 2:
        yield _hash("l", str(min(len(text), 60)))
        if prefix := _PREFIX.match(text):
            yield _hash("p", prefix[0])
    for sign in set(_SIGNS.findall(text)):
        yield _hash("s", sign)
    last = ""
    for word in words:
        yield _hash("w", word)
        yield _hash("b", f"{last} {word}")
        last = word
        if _DIGIT.search(word):
            yield _hash("d", _DIGIT.sub("0", word))
        if has_letters and len(word) > 3:
            edged = f"<{word}>"
            for size in (3, 4, 5):
                for begin in range(len(edged) - size + 1):
                    yield _hash("c", edged[begin : begin + size])


def _hash(kind: str, token: str) -> int:
    return zlib.crc32(f"{kind}{token}".encode("utf-8", "surrogatepass"))

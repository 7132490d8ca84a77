"""No pattern of ours backtracks: what a text costs grows with its length, and not with its square.

Every pattern of the packages is found (compiled ones in the modules' values, literal ones in their source, those of
the structs' fields) and fed with pumped texts that are made from the pattern itself: a beginning that it matches,
a part of it again and again, an end that it does not match. What is judged is the growth of this thread's own
processor time, over a factor of 16, and only where it is long enough to be measured: a busy machine changes neither.
"""

import ast
import importlib
import inspect
import itertools
import math
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from re import _constants as codes
from re import _parser as parser
from types import ModuleType
from typing import Any

import pytest
from msgspec import Meta, Struct

import traind
from traind.data.table.dates import seconds_of, way_of
from traind.data.table.numbers import legacy_style, read

TINY = (16, 22, 28, 34, 40, 60, 100, 300)  # characters, which take no time unless each multiplies it
LOOK = 4_000  # characters, for which a square is 16,000,000 steps
FIRST, LAST = 1_000, 16_000  # characters; linear is 16 times, quadratic 256 times the time
WORTH_S = 0.002  # for `LOOK` characters: what takes less is not judged
STEEPEST = 1.5  # of growth, as a power of the length
TRIES = 4  # the least steep counts: a busy machine only adds
SCANNING = ("search", "sub", "subn", "split", "findall", "finditer")


@dataclass(frozen=True)
class Found:
    """One pattern, where it stands, and whether it is ever looked for within a text."""

    where: str
    pattern: "re.Pattern[Any]"
    is_scanned: bool


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(traind.__path__, "traind."):
        if not found.name.endswith("__main__"):
            try:
                yield importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if (error.name or "traind").startswith("traind"):
                    raise  # all others are of extras, which may not be installed


def compiled(value: Any) -> "Iterator[re.Pattern[Any]]":
    """Yield the patterns in a module's value."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from (one for inner in value.values() for one in compiled(inner))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (one for inner in value for one in compiled(inner))
    elif isinstance(value, Meta) and value.pattern:
        yield re.compile(value.pattern)
    elif hasattr(value, "__metadata__"):
        yield from compiled(value.__metadata__)
        yield from compiled(getattr(value, "__args__", ()))
    elif isinstance(value, type) and issubclass(value, Struct):
        yield from compiled(tuple(_annotations(value)))


def _annotations(kind: type) -> Iterator[Any]:
    for base in kind.__mro__:
        for annotation in vars(base).get("__annotations__", {}).values():
            yield annotation
            yield from getattr(annotation, "__args__", ())


def literal(module: ModuleType) -> Iterator[tuple[int, str, str]]:
    """Yield line, function and text of every pattern that a module's source writes in a call of `re`."""
    tree = ast.parse(inspect.getsource(module))
    top = {id(inner) for statement in tree.body for inner in _not_in_functions(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_re(node.func.value):
            name = node.func.attr
            if name not in ("compile", "match", "fullmatch", *SCANNING):
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield node.lineno, name, first.value
            elif id(node) not in top and not _is_from_struct(module):
                pytest.fail(f"{module.__name__}:{node.lineno}: a pattern that no test can find; make it a constant")


def _not_in_functions(statement: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement
        for inner in ast.iter_child_nodes(statement):
            yield from _not_in_functions(inner)


def _is_re(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "re"


def _is_from_struct(module: ModuleType) -> bool:
    """Tell whether a module's patterns are those of structs, which are found there."""
    return module.__name__ == "traind.service.validation.explain"


def scanned_names(module: ModuleType) -> set[str]:
    """Return the names of patterns that the module searches with."""
    tree = ast.parse(inspect.getsource(module))
    return {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SCANNING and isinstance(node.value, ast.Name)
    }


def every_pattern() -> list[Found]:
    found: dict[tuple[Any, ...], Found] = {}
    for module in modules():
        scanned = scanned_names(module)
        for name, value in vars(module).items():
            for pattern in compiled(value):
                is_meta = not isinstance(value, re.Pattern | dict | list | tuple)
                one = Found(f"{module.__name__}.{name}", pattern, name in scanned or is_meta)
                found.setdefault((pattern.pattern, pattern.flags, one.is_scanned), one)
        for line, function, text in literal(module):
            one = Found(f"{module.__name__}:{line}", re.compile(text), function in SCANNING)
            found.setdefault((text, one.pattern.flags, one.is_scanned), one)
    return list(found.values())


def sample(item: Any, *, is_full: bool) -> str:
    """Return a short text that a node of a parsed pattern matches, optional parts in it if `is_full`."""
    operation, value = item
    match operation:
        case codes.LITERAL:
            return chr(value)
        case codes.NOT_LITERAL | codes.ANY:
            return "a" if value != ord("a") else "b"
        case codes.IN:
            return one_of(value)
        case codes.MAX_REPEAT | codes.MIN_REPEAT | codes.POSSESSIVE_REPEAT:
            low, high, inner = value
            return samples(inner, is_full=is_full) * max(low, min(high, 1) if is_full else 0)
        case codes.SUBPATTERN:
            return samples(value[3], is_full=is_full)
        case codes.ATOMIC_GROUP:
            return samples(value, is_full=is_full)
        case codes.BRANCH:
            return samples(value[1][0], is_full=is_full)
        case _:
            return ""


def samples(items: Iterable[Any], *, is_full: bool) -> str:
    return "".join(sample(item, is_full=is_full) for item in items)


def one_of(items: list[Any]) -> str:
    operation, value = items[0]
    if operation is codes.LITERAL:
        return chr(value)
    if operation is codes.RANGE:
        return chr(value[0])
    if operation is codes.NEGATE:
        return next(c for c in "a 1-.,~" if not any(_holds(item, c) for item in items[1:]))
    return {codes.CATEGORY_DIGIT: "1", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "a"}.get(value, "-")


def _holds(item: Any, character: str) -> bool:
    operation, value = item
    if operation is codes.CATEGORY:
        kinds = {codes.CATEGORY_DIGIT: r"\d", codes.CATEGORY_SPACE: r"\s", codes.CATEGORY_WORD: r"\w"}
        return value in kinds and re.fullmatch(kinds[value], character) is not None
    return operation is codes.LITERAL and value == ord(character)


def parts(items: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield each part of a pattern that repeats, as what matches before it and what it matches once."""
    for place, item in enumerate(items):
        operation, value = item
        for is_full in (False, True):
            prefix = before + samples(items[:place], is_full=is_full)
            match operation:
                case codes.MAX_REPEAT | codes.MIN_REPEAT | codes.POSSESSIVE_REPEAT:
                    yield prefix, samples(value[2], is_full=is_full)
                    yield from parts(value[2], prefix)
                case codes.SUBPATTERN:
                    yield from parts(value[3], prefix)
                case codes.ATOMIC_GROUP:
                    yield from parts(value, prefix)
                case codes.BRANCH:
                    for branch in value[1]:
                        yield from parts(branch, prefix)
                case _:
                    yield prefix, sample(item, is_full=is_full)


def pumped(pattern: "re.Pattern[Any]") -> list[tuple[str, str, str]]:
    """Return beginnings, parts to repeat and ends that are worth a try."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parsed = parser.parse(text, pattern.flags & ~(re.UNICODE if isinstance(pattern.pattern, bytes) else 0))
    found = {(start, pump) for start, pump in parts(parsed) if pump}
    pumps = {pump for _, pump in found} | set(" 1a-,.")
    starts = ["", *sorted({start for start, _ in found}, key=len)[-3:]]
    wanted = found | {(start, pump) for start in starts for pump in pumps}
    wanted |= {("", a + b) for a, b in itertools.islice(itertools.permutations(sorted(pumps), 2), 20)}
    return [(start, pump, end) for start, pump in sorted(wanted) for end in ("\x00", "x!")]


def seconds(call: Any, text: Any) -> float:
    began = time.thread_time()
    call(text)
    return time.thread_time() - began


def steepness(call: Any, make: Any) -> float:
    """Return the growth of the call's time between the two lengths, as a power; 0 where it takes none."""
    for tiny in map(make, TINY):
        if seconds(call, tiny) > WORTH_S and all(seconds(call, tiny) > WORTH_S for _ in range(TRIES)):
            return math.inf
    text = make(LOOK)
    if any(seconds(call, text) < WORTH_S for _ in range(2)):
        return 0.0
    least = math.inf
    for _ in range(TRIES):
        last = seconds(call, make(LAST))
        first = max(min(seconds(call, make(FIRST)) for _ in range(3)), 1e-6)
        least = min(least, math.log(last / first) / math.log(LAST / FIRST))
        if least < STEEPEST:
            return least
    return least


def calls_of(found: Found) -> list[Any]:
    return [found.pattern.match, found.pattern.fullmatch, *([found.pattern.search] if found.is_scanned else [])]


def steepest(found: Found) -> tuple[float, str]:
    """Return the largest growth that a pumped text causes, and the text."""
    is_bytes = isinstance(found.pattern.pattern, bytes)
    worst, how = 0.0, ""
    for start, pump, end in pumped(found.pattern):

        def make(length: int, start: str = start, pump: str = pump, end: str = end) -> Any:
            text = start + pump * (length // len(pump)) + end
            return text.encode("latin-1", "replace") if is_bytes else text

        for call in calls_of(found):
            power = steepness(call, make)
            if power > worst:
                worst, how = power, f"{found.where} on {start!r} + {pump!r} * n + {end!r}"
            if worst >= STEEPEST:
                return worst, how
    return worst, how


@pytest.fixture(scope="module")
def patterns() -> list[Found]:
    return every_pattern()


def test_every_pattern_is_found(patterns: list[Found]) -> None:
    where = {one.where for one in patterns}
    assert len(where) > 20
    assert {"traind.data.catalog.NAME", "traind.service.http.tokens._NAME"} <= where


def test_a_pattern_takes_time_by_the_length_of_a_text(patterns: list[Found]) -> None:
    grown = [(power, how) for power, how in map(steepest, patterns) if power >= STEEPEST]
    assert grown == []


@pytest.mark.parametrize(
    "text", ["( x", "($ 1x", "1 1x", "-1x", "1.1x", "2020-01-01 1x", "12:1x", "Oct 1x", "1,111x"]
)
def test_what_cells_mean_takes_time_by_their_length(text: str) -> None:
    """Whichever engine reads them, a cell's own functions stay cheap for every repeated part of a text."""
    readers = (way_of, lambda t: seconds_of(t, "dmy"), lambda t: read(t, legacy_style("$", has_decimal_comma=False)))
    for place, reader in itertools.product(range(len(text)), readers):

        def make(length: int, place: int = place) -> str:
            return text[:place] + text[place] * length + text[place + 1 :]

        assert steepness(reader, make) < STEEPEST, (text, place)


@pytest.mark.parametrize("bad", [r"\(?\s*x?\s*y?\s*\d\Z", r"(a|aa)+$", r"\d+\d+x", r"([a-z]+)*!"])
def test_the_test_sees_what_backtracks(bad: str) -> None:
    assert steepest(Found("here", re.compile(bad), is_scanned=False))[0] >= STEEPEST

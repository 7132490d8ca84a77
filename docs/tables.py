"""Writes what is made from the code in docs/: fields and settings in api.md, states in architecture.md, whole pages.

Called by `make tables`. A test fails where the tables are not what this writes.
"""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from traind.service.field_lines import field_lines, structs_in
from traind.service.jobs import states
from traind.service.jobs.job import Job
from traind.service.settings import Settings
from traind.service.studies.events import AnyStudyEvent
from traind.service.studies.request import SubmitStudy
from traind.service.studies.study import Study, Trial
from traind.service.validation.explain import describe
from traind.trainer.contract.events import AnyEvent
from traind.trainer.contract.spec import TrainSpec

PAGE = Path(__file__).with_name("api.md")
HOUSE = Path(__file__).with_name("architecture.md")
STATES = re.compile(r"(<!-- states -->\n).*?(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- fields of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(struct: type[msgspec.Struct]) -> str:
    """Return the Markdown table of a struct's fields."""
    return "\n".join(["| field | takes | default | what it is |", "|---|---|---|---|", *_rows(struct)]) + "\n"


def written(text: str) -> str:
    """Return a page with its tables as they should be."""
    structs = structs_in(TrainSpec, AnyEvent, Job, Settings, SubmitStudy, Study, Trial, AnyStudyEvent)
    return BLOCK.sub(lambda found: f"{found[1]}\n{table(structs[found[2]])}\n{found[3]}", text)


def house_written(text: str) -> str:
    """Return docs/architecture.md with its table of states as it should be."""
    return STATES.sub(lambda found: f"{found[1]}\n{states.table()}\n{found[2]}", text)


def _rows(struct: type[msgspec.Struct]) -> Iterator[str]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    lines = field_lines(struct)
    for field in info.fields:
        cells = (f"`{field.name}`", _cell(describe(field.type)), _default(field), _cell(lines[field.name]))
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: inspect.Field) -> str:
    if field.required:
        return ""
    if field.default is field.default_factory is msgspec.NODEFAULT:  # UNSET
        return "left out"
    default: Any = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{json.dumps(msgspec.to_builtins(default))}`"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    HOUSE.write_text(house_written(HOUSE.read_text()))
    for name, text in runpy.run_path(str(PAGE.with_name("reference.py")))["pages"]().items():
        PAGE.with_name(name).write_text(text)

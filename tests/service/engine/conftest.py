"""An engine on scripted workers: what is above the seam, at the speed of a function call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from stage import Stage, train

from traind.service.engine.engine import Engine
from traind.service.executor.scripted import Script, ScriptedExecutor
from traind.service.record.disk import Disk
from traind.service.settings import Layout, Settings

Opener = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Opener]:
    """Open engines on one root, one after the other; what is still open is closed at the end."""
    stages: list[Stage] = []

    async def open_one(script: Script = train, *, disk: Disk | None = None, slots: int = 2, **options: Any) -> Stage:
        survivors = options.pop("survivors", None)
        settings = Settings.check(root=tmp_path, slots=slots, **{"shutdown_s": 0.2, "grace_s": 0.5} | options)
        executor = ScriptedExecutor(script, slots=slots, survivors=survivors)
        stages.append(Stage(Engine(settings, Layout(tmp_path, disk), executor), executor))
        await stages[-1].engine.open()
        return stages[-1]

    yield open_one
    for one in stages:
        await one.engine.close()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("traind")] == []

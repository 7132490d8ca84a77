"""Agents, by the protocol's own client over stdio, against a real server."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from traind.service.http.server import Door, serve
from traind.service.service import TrainingService

HOUSES = Path(__file__).parents[3] / "data/samples/house_prices.csv.gz"


@asynccontextmanager
async def connected(service: TrainingService) -> AsyncIterator[Client]:
    """An agent beside a server, in the task that uses it."""
    async with serve(service, Door(port=0)) as url:
        program = StdioServerParameters(command=sys.executable, args=["-m", "traind", "mcp", "--server", url])
        async with Client(stdio_client(program)) as client:
            yield client


async def call(agent: Client, tool: str, **arguments: Any) -> Any:
    result = await agent.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    return result.structured_content.get("result", result.structured_content)


async def refused(agent: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await agent.call_tool(tool, arguments)
    assert result.is_error
    text = result.content[0].text
    return msgspec.json.decode(text[text.index("{") :])


async def test_every_tool_is_described_and_there_are_few(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    async with connected(open_root(tmp_path, slots=1)) as agent:
        tools = (await agent.list_tools()).tools
        assert 5 <= len(tools) <= 10
        for tool in tools:
            assert len(tool.description or "") > 20, tool.name
            for name, field in tool.input_schema["properties"].items():
                assert field.get("description"), f"{tool.name}.{name}"


async def test_from_a_file_to_a_prediction(tmp_path: Path, open_root: Callable[..., TrainingService]) -> None:
    async with connected(open_root(tmp_path, slots=1)) as agent:
        seen: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            seen.append(done)

        registered = await call(agent, "register_dataset", name="houses", path=str(HOUSES))
        assert registered["name"] == "houses"
        described = await call(agent, "describe_dataset", name="houses", rows=2)
        assert len(described["preview"]["rows"]) == 2
        settings = {"epochs": 1, "model": {"kind": "fast"}, "features": ["sqft_living", "grade", "zipcode"]}
        plan = await call(agent, "plan_training", dataset="houses", target="price", settings=settings)
        assert plan
        started = await call(agent, "train", dataset="houses", target="price", settings=settings)
        job_id = started["job"]["job_id"]
        followed = await agent.call_tool("follow_job", {"job_id": job_id, "seconds": 100}, progress_callback=progress)
        job = followed.structured_content
        assert job["status"] == "COMPLETED", job
        assert seen[-1] == 100
        assert job["metrics"]["validation"]["r2"] > 0.3
        row = {"sqft_living": 2000, "grade": 8, "zipcode": "98103"}
        predicted = await call(agent, "predict", model=job_id, rows=[row])
        assert 100_000 < predicted["predictions"][0] < 3_000_000
        assert [one["job_id"] for one in await call(agent, "list_jobs")] == [job_id]
        status = await agent.read_resource(f"traind://jobs/{job_id}")
        assert msgspec.json.decode(status.contents[0].text)["spec"]["target"] == "price"
        curve = await agent.read_resource(f"traind://jobs/{job_id}/curve")
        assert msgspec.json.decode(curve.contents[0].text)


async def test_refusals_name_code_and_field(tmp_path: Path, open_root: Callable[..., TrainingService]) -> None:
    async with connected(open_root(tmp_path, slots=1)) as agent:
        assert (await refused(agent, "job_status", job_id="nobody"))["code"] == "job_not_found"
        wrong = await refused(agent, "train", dataset="houses", settings={"epochs": 0, "widht": 4})
        assert {"epochs", "widht"} <= {detail["loc"] for detail in wrong["details"]}
        result = await agent.call_tool("register_dataset", {"name": "x", "path": "/nowhere.csv"})
        assert result.is_error
        assert "/nowhere.csv" in result.content[0].text
        with pytest.raises(MCPError):
            await agent.read_resource("traind://jobs/nobody")


async def test_a_job_is_paused_taken_up_and_cancelled(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    async with connected(open_root(tmp_path, slots=1)) as agent:
        await call(agent, "register_dataset", name="houses", path=str(HOUSES))
        job_id = (await call(agent, "train", dataset="houses", target="price", settings={"epochs": 1000}))["job"][
            "job_id"
        ]
        await call(agent, "follow_job", job_id=job_id, seconds=5)
        for action, expected in (("pause", {"PAUSED"}), ("resume", {"QUEUED", "STARTING", "LOADING", "RUNNING"})):
            await call(agent, "change_job", job_id=job_id, action=action)
            job = await call(agent, "follow_job", job_id=job_id, seconds=10 if action == "pause" else 0.1)
            assert job["status"] in expected
        await call(agent, "change_job", job_id=job_id, action="cancel")
        assert (await call(agent, "follow_job", job_id=job_id, seconds=60))["status"] == "CANCELLED"

"""A FastAPI app that trains: the engine inside, the app's own routes and its own websocket outside.

uvicorn fastapi_host:app --app-dir examples
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, WebSocket

from traind import Progress, State, TrainingService
from traind.service.errors import InvalidSpec, JobNotFound


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with TrainingService(root=os.environ.get("TRAIND_ROOT", "var")) as app.state.training:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/fits", status_code=202)
async def fit(spec: dict[str, Any]) -> dict[str, str]:
    try:
        job = await app.state.training.submit(spec)
    except InvalidSpec as wrong:
        raise HTTPException(422, wrong.details) from wrong
    return {"fit": job.job_id}


@app.get("/fits/{job_id}")
async def look(job_id: str) -> dict[str, Any]:
    try:
        job = await app.state.training.status(job_id)
    except JobNotFound as missing:
        raise HTTPException(404, missing.message) from missing
    return {"state": job.status, "done": job.progress, "error": job.metrics.get("validation", {}).get("rmse")}


@app.websocket("/fits/{job_id}/live")
async def live(socket: WebSocket, job_id: str) -> None:
    """Stream in the app's own words: the engine's events are an async iterator."""
    await socket.accept()
    async for event in app.state.training.watch(job_id):
        if isinstance(event, Progress):
            await socket.send_json({"done": event.progress, "loss": event.loss})
        elif isinstance(event, State):
            await socket.send_json({"state": event.status})
    await socket.close()

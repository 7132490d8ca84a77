"""The calls about jobs: submit, status, the verbs, the list, logs, files and curves."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import UNSET

from traind.data.limits import ANSWER_BYTES
from traind.service.engine.edits import Edit
from traind.service.http.bodies import decode, no_body, read_as, read_by, read_query
from traind.service.http.callers import client_of, while_connected
from traind.service.http.context import ENCODED, SERVICE
from traind.service.http.files import attached
from traind.service.http.requests import (
    ControlRequest,
    CurveQuery,
    FileQuery,
    FilesQuery,
    JobQuery,
    JobRequest,
    JobsQuery,
    LogsQuery,
    ResumeRequest,
    SubmitRequest,
    TrainQuery,
)
from traind.service.http.schemas import (
    Accepted,
    ControlAnswer,
    Deleted,
    FilesAnswer,
    JobsAnswer,
    LogsAnswer,
    StatusAnswer,
    VerbAnswer,
    answer,
    encode,
    facts,
)
from traind.service.jobs.job import Job
from traind.service.processes.lane import CLIENT
from traind.service.service import TrainingService
from traind.service.validation.validate import Checked, check_request
from traind.trainer.contract.change import values_of


async def create(request: web.Request) -> web.Response:
    """Accept a job, or with `dry_run=true` answer what it would do."""
    query = read_query(request, TrainQuery)
    wanted, spec = await read_by(request, _submitted)
    service = request.app[SERVICE]
    if query.dry_run:
        return facts(await while_connected(request, service.dry_run(spec)))
    CLIENT.set(client_of(request))  # a trainer that is not the built-in one checks its options in the side worker
    job = await service.submit(spec, job_id=wanted.job_id)
    return answer(Accepted(job_id=job.job_id, pid=job.pid, status=job.status), status=202)


def _submitted(body: bytes) -> tuple[SubmitRequest, Checked]:
    return check_request(decode(body), SubmitRequest)


async def status(request: web.Request) -> web.Response:
    """Answer one job."""
    query = read_query(request, JobQuery)
    job = await request.app[SERVICE].status(query.job_id)
    body = request.app[ENCODED].get(job, _status)
    return web.Response(body=body, content_type="application/json")


def _status(job: Job) -> bytes:
    return encode(StatusAnswer(status=job))


async def jobs(request: web.Request) -> web.Response:
    """Answer a page of jobs."""
    query = read_query(request, JobsQuery)
    states = query.status.split(",") if query.status else None
    after = None if query.after is UNSET else query.after
    page = await request.app[SERVICE].jobs(states, query.limit, after, **query.filters)
    return answer(JobsAnswer(jobs=page.jobs, next=page.next))


Verb = Callable[[TrainingService, str], Awaitable[Job]]


def verb(ask: Verb) -> Handler:
    """Return the handler of a verb that takes a job and nothing else."""

    async def handle(request: web.Request) -> web.Response:
        wanted = await read_as(request, JobRequest)
        return _recorded(await ask(request.app[SERVICE], wanted.job_id))

    return handle


stop = verb(TrainingService.stop)
pause = verb(TrainingService.pause)
cancel = verb(TrainingService.cancel)


async def resume(request: web.Request) -> web.Response:
    """Continue a job, for more epochs if the body says so."""
    wanted = await read_as(request, ResumeRequest)
    return _recorded(await request.app[SERVICE].resume(wanted.job_id, wanted.epochs))


async def control(request: web.Request) -> web.Response:
    """Have a running job change its settings at its next step, and answer that step."""
    wanted = await read_as(request, ControlRequest)
    done = await request.app[SERVICE].control(wanted.job_id, **values_of(wanted))
    return answer(ControlAnswer(job_id=done.job_id, status=done.status, number=done.number, step=done.step))


def _recorded(job: Job) -> web.Response:
    return answer(VerbAnswer(job_id=job.job_id, status=job.status))


async def edit(request: web.Request) -> web.Response:
    """Change a job's name, tags, notes or priority."""
    changes = await read_as(request, Edit)
    wanted = {name: value for name in Edit.__struct_fields__ if (value := getattr(changes, name)) is not UNSET}
    return answer(StatusAnswer(status=await request.app[SERVICE].edit(request.match_info["job_id"], **wanted)))


async def delete(request: web.Request) -> web.Response:
    """Remove a finished job with its files."""
    await no_body(request)
    await request.app[SERVICE].delete(request.match_info["job_id"])
    return answer(Deleted())


async def logs(request: web.Request) -> web.Response:
    """Answer the end of a job's output, or what was printed since the last answer."""
    query = read_query(request, LogsQuery)
    service = request.app[SERVICE]
    after = None if query.after is UNSET else query.after
    page = await service.log_page(query.job_id, query.limit_bytes, after)
    body = encode(LogsAnswer(job_id=query.job_id, logs=page.logs, next=page.next))
    if len(body) > ANSWER_BYTES:  # some characters take six bytes in JSON
        page = await service.log_page(query.job_id, ANSWER_BYTES // 7, after)
        body = encode(LogsAnswer(job_id=query.job_id, logs=page.logs, next=page.next))
    return web.Response(body=body, content_type="application/json")


async def files(request: web.Request) -> web.Response:
    """Answer a page of the files that a job's trainer wrote."""
    query = read_query(request, FilesQuery)
    after = None if query.after is UNSET else query.after
    page = await request.app[SERVICE].files(query.job_id, query.limit, after)
    return answer(FilesAnswer(job_id=query.job_id, files=page.files, next=page.next))


async def file(request: web.Request) -> web.FileResponse:
    """Send a file that a job's trainer wrote; ranges and conditional requests work."""
    query = read_query(request, FileQuery)
    path = await request.app[SERVICE].file_path(query.job_id, query.name)
    return web.FileResponse(path, headers=attached(path.name))


async def curve(request: web.Request) -> web.Response:
    """Answer a job's curves, thinned for drawing."""
    query = read_query(request, CurveQuery)
    wanted = () if query.series is UNSET else frozenset(query.series.split(","))
    service = request.app[SERVICE]
    more = {"status": await service.status(query.job_id)} if query.status else {}  # first: no curve is behind it
    return facts({**await service.curve(query.job_id, query.points, wanted), **more})

"""Jobs as TensorBoard's event files: a run for each job, its curves by the names of `GET /api/train/curve`.

A run is written from the job's first event; after a restart of the server it is written anew, and its earlier files
go. Where a resumed attempt takes steps again, TensorBoard is told to forget the points after the step it began at.
Called by the mirror's process only. Needs `traind[tensorboard]`.
"""

import math
from pathlib import Path

import msgspec
from tensorboard.compat.proto.event_pb2 import Event as TensorBoardEvent
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from traind.service.jobs.job import Job
from traind.service.jobs.points import points_of
from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress, State


class TensorBoardFiles:
    """A folder of runs."""

    every_s = 1.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, EventFileWriter] = {}
        self._earlier: dict[str, list[Path]] = {}  # earlier files of a run that is written anew

    def begin(self, job: Job) -> int:
        """Begin a job's run; an existing one is written anew."""
        run = self._folder / job.job_id
        self._earlier[job.job_id] = [*run.glob("events.out.tfevents.*")]
        if (old := self._writers.pop(job.job_id, None)) is not None:
            old.close()
        writer = self._writers[job.job_id] = EventFileWriter(str(run))
        _forget_from(writer, 0, job.created_at)
        return 0

    def write(self, job: Job, events: list[AnyEvent]) -> None:
        """Write the points of events; they are on the disk when this returns."""
        writer = self._writers[job.job_id]
        for event in events:
            match event:
                case State(resumed_from_step=int(step)):
                    _forget_from(writer, step + 1, event.ts)
                case Progress() | Epoch() | Metric():
                    values = [
                        Summary.Value(
                            tag=name.replace(".", "/", 1), simple_value=math.nan if value is None else value
                        )
                        for name, value in points_of(event)
                    ]
                    writer.add_event(
                        TensorBoardEvent(wall_time=event.ts, step=event.step, summary=Summary(value=values))
                    )
                case _:
                    pass
        writer.flush()
        for file in self._earlier.pop(job.job_id, ()):
            file.unlink(missing_ok=True)

    def end(self, job: Job) -> None:
        """Write the job's spec and result, and close its run."""
        writer = self._writers.pop(job.job_id)
        facts = {
            "name": job.name,
            "status": job.status,
            "metrics": job.metrics,
            "spec": job.spec,
            "error": job.error,
        }
        text = "```\n" + msgspec.json.format(msgspec.json.encode(facts), indent=2).decode() + "\n```"
        event = TensorBoardEvent(wall_time=job.finished_at or 0.0, step=job.step, summary=_text("job", text))
        writer.add_event(event)
        writer.close()


def _forget_from(writer: EventFileWriter, step: int, ts: float) -> None:
    """Make TensorBoard discard the points of a run from a step on, as after a restart there."""
    log = SessionLog(status=SessionLog.START)
    writer.add_event(TensorBoardEvent(wall_time=ts, step=step, session_log=log))


def _text(tag: str, text: str) -> Summary:
    plugin = SummaryMetadata.PluginData(plugin_name="text", content=TextPluginData(version=0).SerializeToString())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)])

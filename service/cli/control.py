"""`traind control`: change settings of a running job."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

from cyclopts import Parameter

from traind.service.cli.entry import Failed
from traind.service.cli.flags import JobId, Json, Remote

ANYWHERE = Remote()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class NewSettings:
    """The settings to change from the next step on."""

    lr: Annotated[float | None, Parameter(help="learning rate of the next step; a schedule continues from it")] = None
    epochs: Annotated[int | None, Parameter(help="number of all epochs")] = None
    patience: Annotated[
        str | None, Parameter(help="epochs without a better monitor after which it stops; or never")
    ] = None
    report_every: Annotated[int | None, Parameter(help="steps between progress events")] = None
    checkpoint_every: Annotated[float | None, Parameter(help="seconds between checkpoints; 0: each epoch")] = None

    def values(self) -> dict[str, Any]:
        """Return the settings that were typed, as the server takes them."""
        typed = {field.name: getattr(self, field.name) for field in fields(self)}
        found = {name: value for name, value in typed.items() if value is not None}
        if (patience := found.get("patience")) is not None:
            found["patience"] = None if patience == "never" else int(patience) if patience.isdecimal() else patience
        return found


AS_THEY_ARE = NewSettings()


def control(
    job_id: JobId, *, settings: NewSettings = AS_THEY_ARE, remote: Remote = ANYWHERE, as_json: Json = False
) -> None:
    """Change a running job's settings at its next step, and print that step."""
    from traind.service.cli.show import print_json
    from traind.service.client import calls

    if not (values := settings.values()):
        raise Failed("There is nothing to change.", hint="Give one: --lr, --epochs, --patience or the like.")
    done = remote.connection().send(calls.control(job_id, values))
    if as_json:
        print_json(done)
    else:
        when = "it waits for the next step" if done.step is None else f"from step {done.step} on"
        print(f"{done.job_id}  change {done.number}: {when}")

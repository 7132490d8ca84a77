"""`traind studies`: list a server's studies, show one, pause, resume or end it."""

from typing import Annotated, Literal

from cyclopts import Parameter

from traind.service.cli.flags import Json, Remote

ANYWHERE = Remote()
Verb = Literal["show", "trials", "stop", "pause", "resume", "cancel", "delete"]


def studies(
    study_id: Annotated[str | None, Parameter(help="the study; none: list all")] = None,
    verb: Annotated[Verb, Parameter(help="what to do with it")] = "show",
    *,
    limit: Annotated[int, Parameter(help="how many, newest first")] = 20,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """List a server's studies; show one or its trials; stop, pause, resume, cancel or delete it."""
    from traind.service.cli.show import number, print_json, print_table
    from traind.service.cli.tune import print_study

    client = remote.client()
    if study_id is None:
        page = client.studies(limit=limit)
        rows = (
            [
                one.study_id,
                one.name or "",
                str(one.status),
                f"{one.ended}/{one.trials}",
                f"{one.metric} {number(one.best.value)}" if one.best else "",
            ]
            for one in page.studies
        )
        print_json(page) if as_json else print_table(["study", "name", "state", "trials", "best"], rows)
    elif verb == "trials":
        found = client.trials(study_id)
        used = client.study(study_id, importance=False).used
        params = (" ".join(f"{name}={value}" for name, value in used(one.params).items()) for one in found)
        lines = (
            [str(one.trial), str(one.status), number(one.value), text]
            for one, text in zip(found, params, strict=True)
        )
        print_json(found) if as_json else print_table(["trial", "state", "value", "params"], lines)
    elif verb == "delete":
        client.delete_study(study_id)
    else:
        call = client.study if verb == "show" else getattr(client, f"{verb}_study")
        study = call(study_id)
        print_json(study) if as_json else print_study(study)

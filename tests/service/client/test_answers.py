"""Errors come back as the classes that the service raises; what is sent says no more than it must."""

import msgspec
import pytest

from traind.data.errors import BadCell, BadTable
from traind.service import errors as service_errors
from traind.service.client import calls
from traind.service.client.errors import is_away, refusal
from traind.service.errors import DiskLow, InvalidSpec, JobNotFound, NotRunning, ServiceError
from traind.service.http.errors import response_of
from traind.trainer.contract.errors import ModelDamaged
from traind.trainer.contract.spec import MlpModel, TrainSpec

LEAVES = [kind for kind in vars(service_errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)]


def told(error: Exception) -> Exception:
    """What the client makes of the answer that the server makes of an error."""
    answer = response_of(error)
    assert isinstance(answer.body, bytes)
    return refusal(answer.status, answer.body, "http://there")


@pytest.mark.parametrize("kind", LEAVES)
def test_an_error_of_the_service_comes_back_as_itself(kind: type[ServiceError]) -> None:
    problem = {"loc": "epochs", "msg": "must be at least 1"}
    back = told(kind("It is so.", hint="Do this.", details=[problem]))
    assert type(back) is kind
    assert isinstance(back, ServiceError)
    assert (back.message, back.hint, back.details) == ("It is so.", "Do this.", [problem])


def test_a_bad_cell_comes_back_with_its_place() -> None:
    cell = BadCell(43_212, "price", "cheap", "is not a number")
    back = told(BadTable("A cell cannot be read.", cells=(cell,)))
    assert isinstance(back, BadTable)
    assert back.cells == (cell,)


def test_a_trainers_error_comes_back_as_itself() -> None:
    assert isinstance(told(ModelDamaged("It is torn.")), ModelDamaged)


def test_a_full_disk_is_the_services_error() -> None:
    assert isinstance(told(DiskLow("Full.")), DiskLow)


def test_an_unknown_code_keeps_its_words() -> None:
    body = b'{"ok": false, "error": {"code": "too_new", "message": "Later.", "hint": null, "details": []}}'
    back = refusal(418, body, "http://there")
    assert (type(back), back.code, str(back)) == (ServiceError, "too_new", "Later.")


def test_an_answer_that_is_not_ours_is_shown() -> None:
    back = refusal(404, b"<html>nginx</html>", "http://there/api/health")
    assert "http://there/api/health answered 404" in str(back)
    assert "nginx" in str(back)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (503, NotRunning("closing"), True),
        (503, service_errors.SideWorkerFailed("died"), False),
        (502, None, True),
        (504, None, True),
        (503, None, True),
        (404, JobNotFound("no"), False),
        (500, None, False),
    ],
)
def test_only_a_server_that_is_not_there_is_waited_for(
    status: int, error: ServiceError | None, expected: bool
) -> None:
    body = b"<html>" if error is None else response_of(error).body
    assert isinstance(body, bytes)
    assert is_away(status, body) is expected


def test_a_spec_is_sent_as_what_differs_from_the_defaults() -> None:
    assert calls.spec_values(TrainSpec()) == {}
    spec = TrainSpec(epochs=3, model=MlpModel(hidden=(8,)), target="price")
    sent = calls.spec_values(spec)
    assert set(sent) == {"epochs", "model", "target"}
    assert msgspec.convert(sent, TrainSpec) == spec


def test_a_submit_chooses_its_id_so_that_it_can_be_sent_twice() -> None:
    body = msgspec.json.decode(calls.submit({"epochs": 1}, None).body or b"")
    assert body["job_id"].startswith("job_")
    assert body != msgspec.json.decode(calls.submit({"epochs": 1}, None).body or b"")


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert calls.delete("../health?x#y").path == "/api/train/jobs/..%2Fhealth%3Fx%23y"


def test_a_bad_field_has_its_name_in_the_error() -> None:
    with pytest.raises(InvalidSpec) as caught:
        raise told(InvalidSpec("epochs: must be at least 1.", details=[{"loc": "epochs", "msg": "x"}]))
    assert caught.value.details[0]["loc"] == "epochs"

"""The error tree: every leaf has a code of its own, a status, and a line in docs/errors.md."""

import re
from http import HTTPStatus

import pytest

from traind.data.errors import BadCell, BadTable, DataError
from traind.service.errors import ServiceError, described
from traind.service.http import errors as http
from traind.service.http.openapi import leaves
from traind.trainer.contract.errors import SpecError, TrainerError

ROOTS = (DataError, TrainerError, ServiceError)
HOMES = (
    "traind.data.errors",
    "traind.trainer.contract.errors",
    "traind.service.errors",
    "traind.service.http.errors",
)
LEAVES = [leaf for root in ROOTS for leaf in leaves(root) if leaf.__module__ in HOMES]
AT_START = {
    "executor_refused",
    "root_busy",
    "root_too_new",
    "port_in_use",
    "token_needed",
    "bad_tokens",
    "service_error",
}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_error_has_a_code_a_sentence_and_a_status(leaf):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", leaf.code)
    assert leaf.__doc__.strip().splitlines()[0].endswith(".")
    if leaf.code not in AT_START:
        assert http.status_of(leaf) >= HTTPStatus.BAD_REQUEST
        assert http.status_of(leaf) != HTTPStatus.INTERNAL_SERVER_ERROR or leaf in (http.Unexpected, http.HttpError)


def test_every_code_stands_in_the_docs_and_none_that_does_not_exist(repository):
    text = (repository / "docs/errors.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", text, flags=re.MULTILINE))
    spoken = {leaf.code for leaf in LEAVES} - {"service_error"}
    assert spoken - documented == set()
    of_jobs_or_clients = {"worker_killed", "crash_loop", "node_lost", "server_unreachable"}
    assert documented - spoken == of_jobs_or_clients


def test_bad_cells_become_details_with_their_place():
    error = BadTable("Line 3 is wrong.", cells=(BadCell(3, "age", "x", "is not a number"),))
    detail = described(error)["details"][0]
    assert detail == {"loc": "age", "msg": "is not a number", "line": 3, "column": "age", "value": "x"}


def test_a_field_of_the_spec_becomes_a_detail():
    error = SpecError("There is no column 'prise'.", field="target")
    assert described(error)["details"] == [{"loc": "target", "msg": "There is no column 'prise'."}]


def test_answers_that_can_be_tried_again_say_when():
    for leaf in LEAVES:
        if http.status_of(leaf) in http.RETRIED:
            assert http.response_of(leaf("no")).headers["Retry-After"]

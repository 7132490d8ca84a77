"""The JSON of the calls about webhooks."""

from typing import Annotated

from msgspec import Meta, Struct

from traind.service.http.schemas import Answer
from traind.service.webhooks.outbox import Delivery


class WebhookShown(Struct, frozen=True):
    """One webhook that the operator has named."""

    name: str
    """Its name."""
    address: str
    """Where it is: scheme and host, without the path."""
    events: list[str]
    """States that are delivered."""
    tags: list[str]
    """Only of jobs with one of these tags; none: of all."""
    deliveries: dict[str, int]
    """How many deliveries are waiting, delivered and given_up."""


class WebhooksAnswer(Answer, frozen=True, kw_only=True):
    """Every webhook."""

    webhooks: list[WebhookShown]
    """The webhooks, by name."""


class DeliveriesAnswer(Answer, frozen=True, kw_only=True):
    """A webhook's newest deliveries, newest first."""

    deliveries: list[Delivery]
    """The deliveries, newest first."""


class WebhookTested(Answer, frozen=True, kw_only=True):
    """A test message stands in the outbox."""

    webhook_id: str
    """Id of the message that was put into the outbox."""


class DeliveriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many deliveries."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    """Most deliveries of an answer."""

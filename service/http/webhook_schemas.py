"""The JSON of the calls about webhooks."""

from typing import Annotated

from msgspec import Meta, Struct

from traind.service.http.schemas import Answer
from traind.service.webhooks.outbox import Delivery


class WebhookShown(Struct, frozen=True):
    """One configured webhook."""

    name: str
    """Its name."""
    address: str
    """Scheme and host of its address, without the path."""
    events: list[str]
    """States that are delivered."""
    tags: list[str]
    """Only jobs with one of these tags; empty: all jobs."""
    deliveries: dict[str, int]
    """Number of deliveries by state: waiting, delivered, given_up."""


class WebhooksAnswer(Answer, frozen=True, kw_only=True):
    """Every webhook."""

    webhooks: list[WebhookShown]
    """The webhooks, by name."""


class DeliveriesAnswer(Answer, frozen=True, kw_only=True):
    """A webhook's newest deliveries, newest first."""

    deliveries: list[Delivery]
    """The deliveries, newest first."""


class WebhookTested(Answer, frozen=True, kw_only=True):
    """A test message is queued."""

    webhook_id: str
    """Id of the queued message."""


class DeliveriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of deliveries wanted."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    """Most deliveries of an answer."""

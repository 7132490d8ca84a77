from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.data.table.dates import order_of, seconds_of, way_of

DAY = datetime(2014, 2, 3, tzinfo=UTC)
WRITTEN = [
    ("%Y-%m-%d", "dmy"),
    ("%Y/%m/%d", "dmy"),
    ("%Y%m%d", "dmy"),
    ("%Y%m%dT%H%M%S", "dmy"),
    ("%d/%m/%Y", "dmy"),
    ("%m/%d/%Y", "mdy"),
    ("%d.%m.%Y", "dmy"),
    ("%d %b %Y", "dmy"),
    ("%d-%B-%Y", "mdy"),
    ("%b %d, %Y", "dmy"),
    ("%A, %B %d, %Y", "dmy"),
    ("%Y-%m-%dT%H:%M:%SZ", "dmy"),
    ("%m/%d/%Y %I:%M %p", "mdy"),
]


@pytest.mark.parametrize(("written", "order"), WRITTEN)
def test_dates_are_read_in_many_ways(written: str, order: str) -> None:
    for day in (DAY, DAY + timedelta(days=500), DAY - timedelta(days=15_000)):
        text = day.strftime(written)
        assert way_of(text) is not None
        assert seconds_of(text, "mdy" if order == "mdy" else "dmy") == day.timestamp(), text


@given(time=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_iso_times_are_read_to_the_microsecond(time: datetime) -> None:
    found = seconds_of(time.isoformat(), "dmy")
    assert found is not None
    assert abs(found - (time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) < 1e-4


def test_an_offset_is_applied() -> None:
    assert seconds_of("2014-02-03T02:00:00+02:00", "dmy") == DAY.timestamp()
    assert seconds_of("2014-02-02 19:00-0500", "dmy") == DAY.timestamp()


@pytest.mark.parametrize(
    "text", ["2014-13-01", "31/02/2014", "20141301", "13:00", "1.5", "May", "2014-02-03 25:00", "12345678"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert seconds_of(text, "dmy") is None


def test_a_number_above_twelve_settles_the_order() -> None:
    assert order_of(["01/02/2014", "25/02/2014"]) == ("dmy", True)
    assert order_of(["01/02/2014", "02/25/2014"]) == ("mdy", True)
    assert order_of(["01/02/2014"]) == ("mdy", False)
    assert order_of(["01.02.2014"]) == ("dmy", False)
    assert order_of(["2014-02-25"]) == ("dmy", True)


@given(day=st.dates(min_value=date(1970, 1, 1), max_value=date(2069, 12, 31)))
def test_years_of_two_digits_mean_1970_to_2069(day: date) -> None:
    assert seconds_of(day.strftime("%d.%m.%y"), "dmy") == (day - date(1970, 1, 1)).days * 86_400

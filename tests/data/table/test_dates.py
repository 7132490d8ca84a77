import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.data.table.date_columns import all_seconds, find_dates, order_of
from traind.data.table.dates import Order, seconds_of, way_of
from traind.data.table.texts import texts_of

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


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1974Q1", date(1974, 1, 1)),
        ("2020-Q4", date(2020, 10, 1)),
        ("Q3 2011", date(2011, 7, 1)),
        ("2011M06", date(2011, 6, 1)),
        ("6/2011", date(2011, 6, 1)),
        ("Apr-1-1995", date(1995, 4, 1)),
        ("1/12/63", date(1963, 12, 1)),
        ("1/12/39", date(2039, 12, 1)),
        *(
            (f"{year}-W{week:02d}", date.fromisocalendar(year, week, 1))
            for year in (1969, 2015, 2024)
            for week in (1, 52)
        ),
    ],
)
def test_other_ways_of_people_are_read(text: str, day: date) -> None:
    expected = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    assert seconds_of(text, "dmy") == expected
    assert all_seconds(texts_of([text]), "dmy")[0].tolist() == [expected]


def test_an_offset_is_applied() -> None:
    assert seconds_of("2014-02-03T02:00:00+02:00", "dmy") == DAY.timestamp()
    assert seconds_of("2014-02-02 19:00-0500", "dmy") == DAY.timestamp()


@pytest.mark.parametrize(
    "text", ["2014-13-01", "31/02/2014", "20141301", "13:00", "1.5", "May", "2014-02-03 25:00", "12345678"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert seconds_of(text, "dmy") is None


def order(*texts: str) -> tuple[str, bool]:
    return order_of(texts_of(texts), np.ones(len(texts), np.int64))


def test_a_number_above_twelve_settles_the_order() -> None:
    assert order("01/02/2014", "25/02/2014") == ("dmy", True)
    assert order("01/02/2014", "02/25/2014") == ("mdy", True)
    assert order("01/02/2014") == ("mdy", False)
    assert order("01.02.2014") == ("dmy", False)
    assert order("2014-02-25") == ("dmy", True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24-Jan-23", 1_674_518_400),
        ("24.01.2023, 19:37", 1_674_589_020),
        ("Tue, 24 Jan 2023 19:37:00 GMT", 1_674_589_020),
        ("Tue, 24 Jan 2023 19:37:00 +0100", 1_674_585_420),
        ("2023-01-24 19:37:00 EST", 1_674_607_020),
        ("Tue Jan 24 19:37:00 UTC 2023", 1_674_589_020),
        ("24th January 2023", 1_674_518_400),
        ("Tue Jan 24 2023 19:37:00 GMT+0100 (Central European Time)", 1_674_585_420),
        ("Tue, 24 Jan 2023 19:37:00 +0100 (CET)", 1_674_585_420),
        ("2023-01-24T19:37:00+01:00[Europe/Berlin]", 1_674_585_420),
    ],
)
def test_dates_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text, "dmy") == seconds
    assert all_seconds(texts_of([text]), "dmy")[0].tolist() == [seconds]


@pytest.mark.parametrize("text", ["0000-00-00", "00/00/0000", "0000-00-00 00:00:00"])
def test_a_zero_date_is_missing(text: str) -> None:
    found = seconds_of(text, "dmy")
    assert found is not None
    assert math.isnan(found)
    dates = find_dates(texts_of([text, "2014-10-13"]), np.array([3, 9]))
    assert dates is not None
    assert (dates.share, dates.zeros) == (1.0, 3)


def test_seasons_are_no_months() -> None:
    assert find_dates(texts_of(["2009-10", "2010-11", "2011-12"]), np.ones(3, np.int64)) is None


DATE_LIKE = st.one_of(
    st.text(alphabet="0123456789-/.: TZapmJanOct,+", max_size=20),
    st.datetimes().flatmap(lambda day: st.sampled_from([written for written, _ in WRITTEN]).map(day.strftime)),
    st.datetimes(timezones=st.timezones()).map(lambda day: day.isoformat()),
    st.from_regex(r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}( [0-9]{1,2}:[0-9]{2}( [ap]m)?)?", fullmatch=True),
)


@given(texts=st.lists(DATE_LIKE, min_size=1, max_size=20), order=st.sampled_from(["dmy", "mdy"]))
@settings(deadline=None)
def test_one_cell_and_a_series_are_read_alike(texts: list[str], order: Order) -> None:
    texts = [text.strip() for text in texts]
    seconds, is_zero = all_seconds(texts_of(texts), order)
    for text, found, zero in zip(texts, seconds.tolist(), is_zero.tolist(), strict=True):
        said = seconds_of(text, order)
        if said is None or math.isnan(said):
            assert math.isnan(found), text
            assert zero == (said is not None), text
        else:
            assert found == pytest.approx(said, abs=1e-3), text


@given(day=st.dates(min_value=date(1940, 1, 1), max_value=date(2039, 12, 31)))
def test_years_of_two_digits_mean_1940_to_2039(day: date) -> None:
    assert seconds_of(day.strftime("%d.%m.%y"), "dmy") == (day - date(1970, 1, 1)).days * 86_400

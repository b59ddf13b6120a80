"""Which inventory outlines are from, and of which days, as its columns tell."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd


@dataclass(frozen=True, slots=True)
class Inventory:
    """How the files of an inventory are known: by `columns`; dates stand in `days`."""

    name: str
    columns: tuple[str, ...]
    days: tuple[str, ...]


#: The inventories that are told apart, the most particular first. The Randolph Glacier
#: Inventory has written its version into its identifiers since 5.0.
INVENTORIES = (
    Inventory("RGI 7.0", ("rgi_id", "src_date"), ("src_date",)),
    Inventory("RGI 6.0 or older", ("RGIId", "BgnDate", "EndDate"), ("BgnDate", "EndDate")),
    Inventory("GLIMS", ("glac_id", "anlys_id", "src_date"), ("src_date",)),
)

#: Every column that is read for it.
COLUMNS = tuple(dict.fromkeys(c for inventory in INVENTORIES for c in inventory.columns))

_VERSION = re.compile(r"RGI(?:(\d)(\d)-|2000-v(\d\.\d)-)")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a set of outlines says of itself.

    Attributes
    ----------
    inventory
        Its name, None if it is of none that is known.
    first, last
        The days of the earliest and latest image outlined, None if no outline says. Where
        only the month or year is known they are its first and last day.
    undated
        Outlines that tell no date.
    """

    inventory: str | None
    first: date | None
    last: date | None
    undated: int


def origin_of(rows: pd.DataFrame) -> Origin:
    """Return the origin of outlines, one a row, from those of `COLUMNS` that they have."""
    known = next((i for i in INVENTORIES if set(i.columns) <= set(rows.columns)), None)
    if known is None:
        return Origin(None, None, None, len(rows))
    spans = [_span(values) for values in rows[list(known.days)].itertuples(index=False)]
    dated = [span for span in spans if span is not None]
    return Origin(
        _name(known, rows[known.columns[0]]),
        min((first for first, _ in dated), default=None),
        max((last for _, last in dated), default=None),
        len(spans) - len(dated),
    )


def _name(known: Inventory, identifiers: Iterable[Any]) -> str:
    found = next((m for m in map(_VERSION.match, map(str, identifiers)) if m), None)
    if found is None:
        return known.name
    return f"RGI {found[3] or f'{found[1]}.{found[2]}'}"


def _span(values: Iterable[Any]) -> tuple[date, date] | None:
    spans = [span for span in map(parse_day, values) if span is not None]
    return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None


def parse_day(value: Any) -> tuple[date, date] | None:
    """Return the first and last day that a date of an inventory can mean, or None.

    ISO dates, and RGI's eight digits, in which 99 stands for an unknown month or day and
    -9999999 for an unknown date.

    Examples
    --------
    >>> first, last = parse_day("20030799")
    >>> first.isoformat(), last.isoformat()
    ('2003-07-01', '2003-07-31')
    """
    text = str(value)
    found = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", text) or re.fullmatch(r"(\d{4})", text)
    if found is None:
        return None
    year, month, day = (int(part) for part in (*found.groups(), "99", "99")[:3])
    months = (1, 12) if month in (0, 99) else (month, month)
    try:
        ends = 1, calendar.monthrange(year, months[1])[1]
        days = ends if day in (0, 99) or months[0] != months[1] else (day, day)
        return date(year, months[0], days[0]), date(year, months[1], days[1])
    except (ValueError, IndexError):
        return None

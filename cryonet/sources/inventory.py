"""Which inventory outlines are from, and of which days, as its columns tell."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from cryonet.errors import SceneError


@dataclass(frozen=True, slots=True)
class Inventory:
    """How the files of an inventory are known: by `columns`; dates stand in `days`, if at all."""

    name: str
    columns: tuple[str, ...]
    days: tuple[str, ...]


#: The inventories that are told apart, the most particular first. The Randolph Glacier
#: Inventory has written its version into its identifiers since 5.0.
INVENTORIES = (
    Inventory("RGI 7.0", ("rgi_id", "src_date"), ("src_date",)),
    # Debris on the outlines of RGI 6.0, whose columns it keeps; the days of the debris are
    # those of DC_ (https://doi.org/10.5880/GFZ.3.3.2018.005, "four new fields").
    Inventory(
        "Scherler et al. 2018",
        ("RGIId", "DC_Area", "DC_BgnDate", "DC_EndDate"),
        ("DC_BgnDate", "DC_EndDate"),
    ),
    Inventory("RGI 6.0 or older", ("RGIId", "BgnDate", "EndDate"), ("BgnDate", "EndDate")),
    # https://www.glims.org/MapsAndDocs/downloaded_field_desc.html
    Inventory("GLIMS", ("glac_id", "anlys_id", "src_date"), ("src_date",)),
    # Lakes of high-mountain Asia in 1990 and 2018; GL_Time is the day of the image
    # (https://doi.org/10.12072/casnw.064.2019.db, description of the attributes).
    Inventory("Wang et al. 2020", ("GLAKE_ID", "GL_Time", "GL_SubR"), ("GL_Time",)),
    # Lakes of high-mountain Asia, a file a year from 2008 to 2017: the year stands only in
    # the file's name (Chen et al. 2021, https://doi.org/10.5281/zenodo.4275164).
    Inventory("Hi-MAG", ("GL_ID", "GL_Type", "GL_SubR"), ()),
)

#: The column in which GLIMS says what an outline bounds.
LINE_TYPE = "line_type"

#: Every column that is read for it.
COLUMNS = tuple(
    dict.fromkeys((*(c for inventory in INVENTORIES for c in inventory.columns), LINE_TYPE))
)

_VERSION = re.compile(r"RGI(?:(\d)(\d)-|2000-v(\d\.\d)-)")

#: A date as inventories write it: eight digits, or parts with a mark between; a year alone,
#: or a year and a month. Tables of numbers add ``.0``.
_DATES = tuple(
    re.compile(form)
    for form in (
        r"(\d{4})(\d{2})(\d{2})",
        r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)",
        r"(\d{4})[-/](\d{1,2})\Z",
        r"(\d{4})(?:\.0)?\Z",
    )
)

_STATED = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-\d{2})?)?")


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
    if found is None or not known.name.startswith("RGI"):
        return known.name
    return f"RGI {found[3] or f'{found[1]}.{found[2]}'}"


def _span(values: Iterable[Any]) -> tuple[date, date] | None:
    spans = [span for span in map(parse_day, values) if span is not None]
    return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None


def parse_day(value: Any) -> tuple[date, date] | None:
    """Return the first and last day that a date of an inventory can mean, or None.

    ISO dates, or with other marks between; a year, or a year and a month; and RGI's eight
    digits, in which 99 stands for an unknown month or day and -9999999 for an unknown date.

    Examples
    --------
    >>> first, last = parse_day("20030799")
    >>> first.isoformat(), last.isoformat()
    ('2003-07-01', '2003-07-31')
    """
    text = str(value)
    found = next((m for m in (form.match(text) for form in _DATES) if m), None)
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


def parse_span(text: str) -> tuple[date, date]:
    """Return the first and last day of a date that a user states: a day, month, year, or two.

    Raises
    ------
    SceneError
        If `text` is no such date, or ends before it begins.

    Examples
    --------
    >>> first, last = parse_span("2013/2017-06")
    >>> first.isoformat(), last.isoformat()
    ('2013-01-01', '2017-06-30')
    """
    rule = "Write 2018, 2018-09 or 2018-09-15, or two of these with a / between."
    parts = [part.strip() for part in text.split("/")]
    sound = len(parts) <= 2 and all(_STATED.fullmatch(part) for part in parts)
    days = [parse_day(part) for part in parts] if sound else [None]
    spans = [day for day in days if day is not None]
    if len(spans) < len(days) or spans[0][0] > spans[-1][1]:
        raise SceneError("the date of the outlines is none", text, rule)
    return spans[0][0], spans[-1][1]

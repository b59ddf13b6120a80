"""What a GeoPackage must not hold: contents that are computed when it is read."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from cryonet.errors import SceneError

#: A generated column, in the words of its table.
_GENERATED = re.compile(r"\bAS\s*\(", re.IGNORECASE)

#: The virtual tables of a GeoPackage: its spatial index.
_INDEX = re.compile(r"\bUSING\s+rtree\b", re.IGNORECASE)


def check_geopackage(file: Path) -> None:
    """Refuse a GeoPackage with views, generated columns or virtual tables but its index.

    Reading a table is bounded by its size; a view can be a query that never ends, a column
    one that fills the memory, and a virtual table may stand for other files. Only the list
    of tables is read here: nothing of them is run.

    Raises
    ------
    SceneError
        If there are such, or the database is damaged.
    """
    # The path's own ? and # would end it.
    address = f"file:{str(file).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}"
    query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'view')"
    try:
        with closing(sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)) as base:
            rows = base.execute(query).fetchall()
    except (sqlite3.Error, UnicodeError) as error:
        raise SceneError("the vector file is damaged", file.name, f"{error}.") from error
    for kind, name, sql in rows:
        text = str(sql or "")
        virtual = text[:40].upper().split()[:2] == ["CREATE", "VIRTUAL"]
        index = virtual and _INDEX.search(text) is not None
        if kind == "view" or (virtual and not index) or (not virtual and _GENERATED.search(text)):
            rule = "Export the outlines as plain tables."
            raise SceneError("the GeoPackage computes its contents", f"{file.name}: {name}", rule)

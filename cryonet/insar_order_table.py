"""Pairs of radar images as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from cryonet.sources.pairs import Pair


def pairs_table(pairs: Iterable[Pair]) -> Table:
    """Return the pairs as a table, the best first, with the reasons for each."""
    table = Table(title="Pairs of Sentinel-1 images, the best first", show_lines=True)
    for heading in ("older, newer", "track", "days", "baseline", "area"):
        table.add_column(heading)
    table.add_column("why", overflow="fold", ratio=1)
    for pair in pairs:
        baseline = "–" if pair.perpendicular is None else f"{abs(pair.perpendicular)} m"
        table.add_row(
            f"{pair.reference_time.date()}\n{pair.secondary_time.date()}",
            f"{pair.track}\n{escape(pair.direction)}",
            str(pair.days),
            baseline,
            f"{pair.percent}%",
            escape("; ".join(pair.reasons)),
        )
    return table

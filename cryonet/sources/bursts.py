"""Bursts of Sentinel-1 that are ordered together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

#: Most bursts that one job takes.
MOST_BURSTS = 15

_Ranges = dict[int, tuple[int, int]]


def joined(bursts: Collection[str]) -> frozenset[str]:
    """Return the fewest bursts that hold `bursts` and can be processed together.

    Those of a subswath follow each other, and neighbouring subswaths begin and end within
    one burst of each other: the rule of HyP3 for bursts of one job. An area that lies
    aslant to the track often breaks it.

    Parameters
    ----------
    bursts
        Full identifiers of one track, as ``012_023790_IW2``.

    Examples
    --------
    >>> sorted(joined(["012_000007_IW1", "012_000009_IW2"]))
    ['012_000007_IW1', '012_000008_IW1', '012_000008_IW2', '012_000009_IW2']
    """
    numbers: dict[int, list[int]] = defaultdict(list)
    tracks = set()
    for burst in bursts:
        track, number, swath = burst.split("_")
        tracks.add(track)
        numbers[int(swath[2:])].append(int(number))
    (track,) = tracks
    ranges = {swath: (min(found), max(found)) for swath, found in numbers.items()}
    while (wider := _stretched(ranges)) != ranges:
        ranges = wider
    return frozenset(
        f"{track}_{number:06d}_IW{swath}"
        for swath, (low, high) in ranges.items()
        for number in range(low, high + 1)
    )


def _stretched(ranges: _Ranges) -> _Ranges:
    """Return ranges of which each reaches to within one burst of its neighbours' ends."""
    made = {}
    for swath, (low, high) in ranges.items():
        near = [ranges[other] for other in (swath - 1, swath + 1) if other in ranges]
        lows, highs = [one[0] + 1 for one in near], [one[1] - 1 for one in near]
        made[swath] = (min(low, *lows), max(high, *highs)) if near else (low, high)
    return made


def can_be_joined(bursts: Collection[str]) -> bool:
    """Return whether asf_search takes `bursts` for a group that one job can process."""
    import asf_search

    swaths: dict[str, list[str]] = defaultdict(list)
    for burst in sorted(bursts):
        number, _, swath = burst.rpartition("_")
        swaths[number].append(swath)
    parts = [asf_search.S1MultiBurst(number, tuple(found)) for number, found in swaths.items()]
    try:
        asf_search.S1MultiBurstGroup(parts)
    except ValueError:
        return False
    return True

"""Bursts that are ordered together, held against asf_search's own rule."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cryonet.sources.bursts import can_be_joined, joined


@given(
    st.sets(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4).filter(
        lambda found: {swath for _, swath in found} != {1, 3}
    )
)
def test_no_smaller_group_that_can_be_joined_holds_the_bursts(found: set[tuple[int, int]]) -> None:
    def name(number: int, swath: int) -> str:
        return f"012_{number:06d}_IW{swath}"

    made = joined([name(*burst) for burst in found])
    wanted = {name(*burst) for burst in found}
    assert wanted <= made and can_be_joined(made)
    swaths = sorted({swath for _, swath in found})
    runs = [range(low, high + 1) for low in range(1, 5) for high in range(low, 5)]
    for choice in itertools.product(runs, repeat=len(swaths)):
        group = {
            name(number, swath) for swath, run in zip(swaths, choice, strict=True) for number in run
        }
        assert not (wanted <= group and can_be_joined(group)) or made <= group

"""Work on a raster by bands of rows, several at once where threads are asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_bands(work: Callable[[int, int], None], length: int, step: int, threads: int) -> None:
    """Call `work` with the first row and the row after the last of each band of `step` rows.

    Bands are the same for any number of threads, and so is the result.
    """
    bands = [(top, min(top + step, length)) for top in range(0, length, step)]
    if threads == 1:
        for top, bottom in bands:
            work(top, bottom)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda band: work(*band), bands))

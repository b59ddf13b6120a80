"""An array that repeats a small one without end, read lazily as a file would be."""

from __future__ import annotations

from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing


class Repeated(BackendArray):
    """`pattern` repeated to `shape`; only what is asked for is ever in memory."""

    def __init__(self, pattern: np.ndarray, shape: tuple[int, int]) -> None:
        self.pattern, self.shape, self.dtype = pattern, shape, pattern.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, columns = (
            np.arange(length)[part] % size
            for part, length, size in zip(key, self.shape, self.pattern.shape, strict=True)
        )
        return self.pattern[np.ix_(rows, columns)]

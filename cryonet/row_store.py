"""RowStore: rasters that are filled rows by rows, and outlive the process that writes them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import CryonetError

_JOURNAL = "journal.jsonl"

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the journal: the first row of some and their number, checksums, and a note."""

    top: int
    rows: int
    checksums: dict[str, int]
    note: dict[str, Any]

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


class RowStore:
    """A folder of raw files of bytes, one a raster, and a journal of the rows in them.

    Rows may come in any order. A line goes to the journal once its rows have reached the disk.
    Opened again, the store believes rows if the checksum of their bytes (CRC-32) is that of the
    journal; those that are torn are given up.

    Parameters
    ----------
    folder
        Made if need be.
    bands
        For each raster its number of bands.
    width
        Pixels of a row.
    key
        What the rows hang on, as JSON holds it. Rows of another key are never gone on with.

    Attributes
    ----------
    rows
        How many rows are safe.
    notes
        What was noted with them, from the top down.

    Raises
    ------
    CryonetError
        If rows of another key lie there: named.
    OSError
        From the system.
    """

    def __init__(
        self, folder: Path, bands: Mapping[str, int], *, width: int, key: Mapping[str, Any]
    ) -> None:
        self.folder, self._bands, self._width = folder, dict(bands), width
        folder.mkdir(parents=True, exist_ok=True)
        known, entries = self._stored()
        if known is not None:
            differ = [name for name in {**known, **key} if known.get(name) != key.get(name)]
            if differ:
                raise CryonetError(
                    "an unfinished prediction of this name was made otherwise",
                    ", ".join(differ),
                    "Give what it had, to go on; or allow overwriting, to begin anew.",
                )
        self._entries = [entry for entry in entries if self._holds(entry)]
        with (folder / f"{_JOURNAL}.new").open("w", encoding="utf-8") as journal:
            journal.write(json.dumps({"key": dict(key)}) + "\n")
            journal.writelines(entry.line() for entry in self._entries)
            _to_disk(journal)
        (folder / f"{_JOURNAL}.new").replace(folder / _JOURNAL)
        for name in self._bands:
            with self.file(name).open("ab") as raw:
                raw.truncate(self._end * self._row_bytes(name))

    @property
    def rows(self) -> int:
        """How many rows are safe."""
        return sum(entry.rows for entry in self._entries)

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What was noted with them, from the top down."""
        return [entry.note for entry in sorted(self._entries, key=lambda entry: entry.top)]

    def gaps(self, height: int) -> list[range]:
        """Return the rows of the first `height` that are not safe, from the top down."""
        found, top = [], 0
        for entry in sorted(self._entries, key=lambda entry: entry.top):
            found.append(range(top, entry.top))
            top = entry.top + entry.rows
        return [gap for gap in (*found, range(top, height)) if gap]

    def file(self, name: str) -> Path:
        """Return the raw file of a raster: rows one after another, in each row band after band."""
        return self.folder / f"{name}.bil"

    def put(self, top: int, rasters: Mapping[str, Bytes], *, note: Mapping[str, Any]) -> None:
        """Write rows of every raster, ``(band, y, x)``, from row `top` on.

        They are safe when this returns. Rows that are safe already are not to come again.
        """
        checksums, count = {}, 0
        for name in self._bands:
            # By rows: GDAL's band-interleaved-by-line.
            data = np.ascontiguousarray(rasters[name].swapaxes(0, 1))
            count = len(data)
            with self.file(name).open("r+b") as raw:
                raw.seek(top * self._row_bytes(name))
                raw.write(data.data)
                _to_disk(raw)
            checksums[name] = zlib.crc32(data.data)
        entry = _Entry(top, count, checksums, dict(note))
        with (self.folder / _JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(entry.line())
            _to_disk(journal)
        self._entries.append(entry)

    @property
    def _end(self) -> int:
        return max((entry.top + entry.rows for entry in self._entries), default=0)

    def _row_bytes(self, name: str) -> int:
        return self._bands[name] * self._width

    def _stored(self) -> tuple[dict[str, Any] | None, list[_Entry]]:
        """Return the key and the entries of a journal that is there; a torn line ends it."""
        file = self.folder / _JOURNAL
        if not file.is_file():
            return None, []
        key, entries = None, []
        try:
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                found = json.loads(line)
                if key is None:
                    key = dict(found["key"])
                else:
                    entries.append(_Entry(**found))
        except (ValueError, KeyError, TypeError):
            pass
        return key, entries

    def _holds(self, entry: _Entry) -> bool:
        for name in self._bands:
            if not self.file(name).is_file():
                return False
            size = self._row_bytes(name)
            with self.file(name).open("rb") as raw:
                raw.seek(entry.top * size)
                data = raw.read(entry.rows * size)
            if len(data) < entry.rows * size or zlib.crc32(data) != entry.checksums.get(name):
                return False
        return True


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())

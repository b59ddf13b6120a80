"""Rows on disk, in any order: torn ones are given up, whole ones kept, others refused."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.errors import CryonetError
from cryonet.row_store import RowStore

BANDS = {"one": 1, "three": 3}
WIDTH = 7


def rows_of(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = {name: (bands, count, WIDTH) for name, bands in BANDS.items()}
    return {name: rng.integers(0, 256, size, np.uint8) for name, size in shape.items()}


def store_in(folder, **key):
    return RowStore(folder, BANDS, width=WIDTH, key={"model": "a", "overlap": 0.25, **key})


@pytest.fixture
def filled(tmp_path):
    """A store of strips of 4, 1 and 5 rows, and all of their rows."""
    store = store_in(tmp_path / "rows")
    parts = [rows_of(count, seed) for seed, count in enumerate((4, 1, 5))]
    for number in (1, 2, 0):
        store.put((0, 4, 5)[number], parts[number], note={"number": number})
    whole = {name: np.concatenate([p[name] for p in parts], axis=1) for name in BANDS}
    return tmp_path / "rows", whole


def read(store: RowStore, name: str) -> np.ndarray:
    flat = np.fromfile(store.file(name), np.uint8)
    return flat.reshape(-1, BANDS[name], WIDTH).swapaxes(0, 1)


TOPS = (0, 4, 5)


def check(store: RowStore, whole: dict[str, np.ndarray], kept: list[int]) -> None:
    """Of the three strips those of `kept` are safe, and nothing else is said to be."""
    safe = [row for n in kept for row in range(TOPS[n], (*TOPS, 10)[n + 1])]
    assert store.rows == len(safe)
    assert [note["number"] for note in store.notes] == kept
    assert [row for gap in store.gaps(10) for row in gap] == sorted({*range(10)} - {*safe})
    for name in BANDS:
        np.testing.assert_array_equal(read(store, name)[:, safe], whole[name][:, safe])


def test_rows_are_there_when_it_is_opened_again(filled):
    folder, whole = filled
    again = store_in(folder)
    check(again, whole, [0, 1, 2])
    more = rows_of(2, 9)
    again.put(12, more, note={"number": 3})
    once_more = store_in(folder)
    assert once_more.rows == 12 and once_more.gaps(14) == [range(10, 12)]
    assert once_more.gaps(20) == [range(10, 12), range(14, 20)]
    for name in BANDS:
        np.testing.assert_array_equal(read(once_more, name)[:, 12:14], more[name])
        np.testing.assert_array_equal(read(once_more, name)[:, :10], whole[name])


@pytest.mark.parametrize("name", list(BANDS))
@pytest.mark.parametrize(("place", "kept"), [(0, [1, 2]), (4, [0, 2]), (5, [0, 1]), (9, [0, 1])])
def test_a_flipped_bit_gives_up_its_rows_and_no_others(filled, name, place, kept):
    folder, whole = filled
    file = folder / f"{name}.bil"
    data = bytearray(file.read_bytes())
    data[place * BANDS[name] * WIDTH + 2] ^= 1
    file.write_bytes(data)
    again = store_in(folder)
    check(again, whole, kept)
    (gone,) = again.gaps(10)
    rows = {name: values[:, gone.start : gone.stop] for name, values in whole.items()}
    again.put(gone.start, rows, note={"number": TOPS.index(gone.start)})
    check(store_in(folder), whole, [0, 1, 2])


@pytest.mark.parametrize(("cut", "kept"), [(1, [0, 1]), (105, [0, 1]), (106, [0])])
def test_a_short_file_gives_up_what_it_lacks(filled, cut, kept):
    folder, whole = filled
    file = folder / "three.bil"
    file.write_bytes(file.read_bytes()[:-cut])
    check(store_in(folder), whole, kept)


def test_bytes_without_a_line_are_written_over(filled):
    """Killed between the rows and the journal."""
    folder, whole = filled
    for name in BANDS:
        with (folder / f"{name}.bil").open("ab") as file:
            file.write(b"\x07" * 50)
    again = store_in(folder)
    check(again, whole, [0, 1, 2])
    assert {read(again, name).shape[1] for name in BANDS} == {10}


@pytest.mark.parametrize("left", range(0, 60, 7))
def test_a_torn_journal_is_believed_up_to_its_tear(filled, left):
    """The strip at the top was the last to come."""
    folder, whole = filled
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]) + lines[-1][:left])
    check(store_in(folder), whole, [1, 2])
    journal.write_text(lines[0][:left])
    check(store_in(folder), whole, [])


def test_another_key_is_refused_by_name_and_nothing_is_lost(filled):
    folder, whole = filled
    with pytest.raises(CryonetError, match="made otherwise") as refused:
        store_in(folder, overlap=0.5, blend="linear")
    assert "overlap, blend" in str(refused.value) and "model" not in str(refused.value)
    check(store_in(folder), whole, [0, 1, 2])


def test_a_missing_raster_starts_anew(filled):
    folder, whole = filled
    (folder / "one.bil").unlink()
    check(store_in(folder), whole, [])

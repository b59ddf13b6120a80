"""A prediction straight to its files: memory does not grow with it, and a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cryonet.atomic import check_replaceable, put_folder, whole_file
from cryonet.cog import cog_of_rows
from cryonet.ensemble import ensemble_attrs
from cryonet.errors import CryonetError, SceneError
from cryonet.file_hash import file_sha256
from cryonet.map_strips import add_filled
from cryonet.model_pass import ModelPass
from cryonet.prediction import read_passport
from cryonet.prediction_record import PASSPORT, PredictionRecord
from cryonet.prediction_rows import OwnRows, Pending, RowMaker
from cryonet.progress import SILENT, Progress
from cryonet.row_store import RowStore

#: The finished files with their overviews take this much of the raw rows at most.
OVERVIEWS = 4 / 3

#: In the passport: a hash of all that the pixels hang on.
KEY = "key_sha256"

#: What was asked for and may be asked for otherwise when going on: what became of it counts.
_FREE = ("batch", "device", "backend")
_SHOWN = ("device", "precision", "tile", "overlap", "blend", "flips")

#: In the hidden folder: what is being replaced, which finished prediction takes its place, and
#: the rows.
_REPLACED, _PLACING, _ROWS = "replaced", "placing", "rows"


def stream_prediction(
    passes: Sequence[ModelPass],
    out: str | Path,
    *,
    passport: Mapping[str, Any],
    sources: Mapping[str, str | Path] | None = None,
    maker: RowMaker | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Predict with one model, or the mean of several, and write the prediction's folder.

    The files are those of `cryonet.prediction.write_prediction`. Rows go to disk as they are
    finished, in a hidden folder beside `out`; run again after it was killed or cancelled, the
    same prediction goes on from there, and comes out the same.

    Parameters
    ----------
    passes
        See `cryonet.map_strips.map_strips`; of two or more, their disagreement is mapped too.
    passport
        Where the prediction comes from (`cryonet.passport.make_passport`). An unfinished one is
        gone on with if all of it is the same, but for the size of a batch.
    sources
        As for `cryonet.prediction.write_prediction`.
    maker
        Who makes the rows; by default this process, with a thread that reads a batch ahead.
    overwrite
        Replace a finished prediction, and begin an unfinished one anew that was made otherwise.

    Raises
    ------
    SceneError
        If something stands at `out` that may not be replaced, another run writes there, an
        unfinished prediction was made otherwise, the disk has no room, or the system refuses.
    Cancelled
        From `progress`; what is finished is kept.
    """
    target = Path(out).absolute()
    work = _work(target)
    stream = _Stream(passes, target, work, passport, sources or {})
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock", timeout=0):
            try:
                made_by = maker or OwnRows(passes, ahead=1)
                return stream.run(made_by, overwrite=overwrite, progress=progress)
            finally:
                if not (work / _ROWS).is_dir():
                    shutil.rmtree(work, ignore_errors=True)
    except Timeout as error:
        rule = "Wait for it, or choose another name."
        raise SceneError("another run predicts to this place", str(target), rule) from error
    except OSError as error:
        rule = f"The system says: {error}. Rows that are finished are kept: run it again."
        raise SceneError("the output cannot be written", str(target), rule) from error


def is_predicted(
    passes: Sequence[ModelPass], out: str | Path, *, passport: Mapping[str, Any]
) -> bool:
    """Return whether this very prediction is finished at `out`, with nothing left to tidy up."""
    target = Path(out).absolute()
    stream = _Stream(passes, target, _work(target), passport, {})
    if stream.work.exists() or not (target / PASSPORT).is_file():
        return False
    return read_passport(target).get(KEY) == stream.digest()


def _work(target: Path) -> Path:
    return target.with_name(f".{target.name}.predict")


class _Stream:
    def __init__(
        self,
        passes: Sequence[ModelPass],
        target: Path,
        work: Path,
        passport: Mapping[str, Any],
        sources: Mapping[str, str | Path],
    ) -> None:
        self.passes, self.target, self.work = passes, target, work
        self.passport, self.sources = passport, sources
        self.several = len(passes) > 1
        shares = ("confidence", "disagreement") if self.several else ("confidence",)
        one = passes[0]
        self.record = PredictionRecord(one.geobox, tuple(one.manifest.classes), shares, one.attrs)
        self.height, self.width = (int(side) for side in one.geobox.shape)
        self.bands = {name: len(how["bands"]) for name, how in self.record.rasters().items()}

    def run(self, maker: RowMaker, *, overwrite: bool, progress: Progress) -> Path:
        if self._settled():
            shutil.rmtree(self.work, ignore_errors=True)
            return self.target
        check_replaceable(self.target, marker=PASSPORT, overwrite=overwrite, error=SceneError)
        store = self._store(overwrite=overwrite)
        self._check_room(store)
        self._predict(store, maker, progress)
        finished = self._finish(store, progress)
        mark = self.work / _PLACING
        with whole_file(mark) as file:
            file.write_text(self._mark(finished))
        put_folder(finished, self.target, aside=self.work / _REPLACED)
        shutil.rmtree(self.work, ignore_errors=True)
        return self.target

    def _settled(self) -> bool:
        """Put in order what a killed run left; True if nothing was missing but tidying up."""
        replaced, mark = self.work / _REPLACED, self.work / _PLACING
        if replaced.is_dir() and not self.target.exists():
            replaced.replace(self.target)
        if not (mark.is_file() and (self.target / PASSPORT).is_file()):
            return False
        return self._mark(self.target) == mark.read_text()

    def _mark(self, folder: Path) -> str:
        """Return what says that a finished folder is of this very prediction."""
        return f"{file_sha256(folder / PASSPORT)} {self.digest()}"

    def digest(self) -> str:
        """Return a hash of what the pixels hang on."""
        text = json.dumps(self._key(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _store(self, *, overwrite: bool) -> RowStore:
        place, key = self.work / _ROWS, self._key()
        try:
            return RowStore(place, self.bands, width=self.width, key=key)
        except CryonetError:
            if not overwrite:
                raise
        shutil.rmtree(place)
        return RowStore(place, self.bands, width=self.width, key=key)

    def _key(self) -> dict[str, Any]:
        """Return what the pixels hang on. The batch is free: a smaller one may be what helps."""
        known = dict(self.passport)
        settings = {k: v for k, v in known.pop("settings").items() if k not in _FREE}
        one = self.passes[0]
        told = {key: one.attrs[key] for key in _SHOWN}
        temperatures = [each.temperature for each in self.passes]
        backends = [each.attrs["backend"] for each in self.passes]
        window = [one.target.row, one.target.col, one.target.height, one.target.width]
        hashes = {
            name: hashlib.sha256(
                json.dumps(value, sort_keys=True, default=str).encode()
            ).hexdigest()
            for name, value in known.items()
        }
        own = {"temperatures": temperatures, "backends": backends, "window": window}
        return {**settings, **told, **own, "rasters": self.bands, **hashes}

    def _check_room(self, store: RowStore) -> None:
        row = self.width * sum(self.bands.values())
        needed = (self.height - store.rows) * row + self.height * row * OVERVIEWS
        free = shutil.disk_usage(self.work).free
        if needed > free:
            raise SceneError(
                "the disk has too little room",
                f"{free / 1e9:.2f} GB free",
                f"This prediction may need {needed / 1e9:.2f} GB beside its target.",
            )

    def _predict(self, store: RowStore, maker: RowMaker, progress: Progress) -> None:
        found = maker.rows(store.gaps(self.height), progress)
        with closing(found), ThreadPoolExecutor(1, "write") as pool:
            written: Future[None] | None = None
            started = time.perf_counter()
            for pending in found:
                if written is not None:
                    written.result()
                now = time.perf_counter()
                written = pool.submit(_keep, store, pending, now - started)
                started = now
            if written is not None:
                written.result()

    def _finish(self, store: RowStore, progress: Progress) -> Path:
        """Return the folder of the finished files, made of the rows."""
        started = time.perf_counter()
        folder = self.work / "finished"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        stored = self.record.rasters()
        progress.step(0, len(stored), "writing the maps")

        def write(name: str) -> None:
            cog_of_rows(
                store.file(name), folder / f"{name}.tif", self.record.geobox, **stored[name]
            )

        with ThreadPoolExecutor(len(stored), "cog") as pool:
            pending = {pool.submit(write, name): name for name in stored}
            for number, future in enumerate(as_completed(pending), start=1):
                future.result()
                progress.step(number, len(stored), f"wrote {pending[future]}.tif")
        seconds = sum(note["seconds"] for note in store.notes) + time.perf_counter() - started
        filled: list[dict[str, int]] = []
        for note in store.notes:
            filled = add_filled(filled, note["filled"])
        attrs = self._attrs(filled) | {"seconds": round(seconds, 2)}
        record = replace(self.record, attrs=attrs)
        passport = {**self.passport, KEY: self.digest()}
        record.write_texts(folder, self.target, passport=passport, sources=self.sources)
        return folder

    def _attrs(self, filled: Sequence[dict[str, int]]) -> dict[str, Any]:
        if self.several:
            return ensemble_attrs(self.passes, filled)
        one = self.passes[0]
        optional = {"filled_pixels": filled[0]} if one.manifest.optional_families else {}
        return one.attrs | optional


def _keep(store: RowStore, pending: Pending, seconds: float) -> None:
    rows = pending()
    store.put(rows.top, rows.rasters, note={"filled": rows.filled, "seconds": round(seconds, 3)})

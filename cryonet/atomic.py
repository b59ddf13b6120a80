"""Outputs that appear whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryonet.errors import CryonetError


def check_replaceable(
    path: str | Path, *, marker: str, overwrite: bool, error: type[CryonetError] = CryonetError
) -> Path:
    """Return `path` if a folder may be written there.

    An existing folder may be replaced only when that is asked for and it holds the file
    `marker`, which shows that it is of the same kind.

    Raises
    ------
    error
        If something stands there that may not be replaced.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise error(
            "the output exists already", str(target), "Choose another name, or allow overwriting."
        )
    if target.exists() and not (target / marker).is_file():
        raise error(
            "the output is something else", str(target), f"Only a folder with {marker} is replaced."
        )
    return target


@contextmanager
def whole_folder(target: Path, *, error: type[CryonetError] = CryonetError) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its place if all goes well.

    Raises
    ------
    error
        If the system refuses: no space, no permission. Nothing is left behind then, and
        what stood at `target` stays.
    """
    work: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        yield work
        work.chmod(0o755)
        put_folder(work, target, aside=_free_name(target))
    except OSError as refused:
        raise error(
            "the output cannot be written", str(target), f"The system says: {refused}."
        ) from refused
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _free_name(target: Path) -> Path:
    """Return a hidden name beside `target` that nothing has."""
    name = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    name.rmdir()
    return name


def put_folder(work: Path, target: Path, *, aside: Path) -> None:
    """Rename `work` to `target`; a folder that stands there is `aside` meanwhile, then goes.

    All three lie on one file system. At no moment is there half of either: killed in between,
    the old folder is whole at `aside`.
    """
    if not target.exists():
        work.replace(target)
        return
    target.replace(aside)
    try:
        work.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Give a temporary file name beside `target` that takes its place if all goes well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    work = Path(name)
    try:
        yield work
        work.chmod(0o644)
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)

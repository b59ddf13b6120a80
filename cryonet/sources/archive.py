"""ZIP archives that users bring: refused before they swell, unpacked piece by piece."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from cryonet.errors import SceneError

#: What a damaged, locked or unknown archive raises when it is read.
DAMAGES = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError,
    OSError,
)  # fmt: skip

#: Members that unpack to more than so many bytes may be at most so many times as large as
#: they are packed; rasters and outlines shrink 2 to 20 times. Our choice.
BOMB_BYTES, BOMB_RATIO = 64 * 2**20, 100


def check_swelling(members: Iterable[zipfile.ZipInfo], name: str) -> None:
    """Refuse members of the archive `name` that, by its own directory, swell.

    Raises
    ------
    SceneError
        If they unpack to far more than they are.
    """
    sizes = [(member.file_size, member.compress_size) for member in members]
    size, packed = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
    if size > BOMB_BYTES and size > BOMB_RATIO * packed:
        raise SceneError(
            "the ZIP archive unpacks to far more than it is",
            f"{name}: {size / 2**20:.0f} MiB from {packed:,} bytes",
            f"Above {BOMB_BYTES // 2**20} MiB files may grow {BOMB_RATIO} times at most.",
        )


def unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a new file `target`, never more than the archive says it is.

    Raises
    ------
    FileExistsError
        If there is one already.
    """
    with archive.open(member) as source, target.open("xb") as stream:
        shutil.copyfileobj(source, stream)

"""SHA-256 of files, for provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path

#: Pieces of a file that its fingerprint is made of, and the bytes of each.
PIECES, PIECE = 16, 2**20


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hashes(path: str | Path) -> dict[str, str]:
    """Return the SHA-256 of every file directly in folder `path`, by name."""
    return {f.name: file_sha256(f) for f in _files(path)}


def folder_fingerprints(path: str | Path) -> dict[str, str]:
    """Return a fingerprint of every file directly in folder `path`, by name.

    It is the SHA-256 of the file's length and of sixteen pieces of a mebibyte, spread evenly
    from its first byte to its last: of a file up to 16 MiB all of it. It tells files apart that
    many processes open, without each of them reading all of them; it proves nothing.
    """
    return {f.name: _fingerprint(f) for f in _files(path)}


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= PIECES * PIECE:
            found.update(file.read())
        else:
            for number in range(PIECES):
                file.seek(number * (size - PIECE) // (PIECES - 1))
                found.update(file.read(PIECE))
    return found.hexdigest()


def _files(path: str | Path) -> list[Path]:
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return [file for file in sorted(folder.iterdir()) if file.is_file()]

"""SHA-256 of files, for provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hashes(path: str | Path) -> dict[str, str]:
    """Return the SHA-256 of every file directly in folder `path`, by name."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return {f.name: file_sha256(f) for f in sorted(folder.iterdir()) if f.is_file()}

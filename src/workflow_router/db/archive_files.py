"""Owns files of archived runs: gzipped JSON Lines below one folder. Refuses to change a file once it has its name."""

import asyncio
import gzip
import os
from collections.abc import Sequence
from pathlib import Path

from workflow_router.core.errors import StoreUnavailable


class ArchiveFolder:
    """See `core.orchestration.retention_ports.ArchiveFiles` for what each verb promises."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def folder(self) -> str:
        return str(self._folder)

    async def write(self, name: str, lines: Sequence[bytes]) -> str:
        try:
            await asyncio.to_thread(self._write, self._folder / name, lines)
        except OSError as error:
            raise StoreUnavailable(
                f"The archive {name} could not be written: {error.strerror or error}.",
                remedy="Make room in settings.retention.folder, or make it writable; nothing was removed.",
            ) from error
        return name

    async def find(self, name: str, mark: bytes) -> bytes | None:
        return await asyncio.to_thread(self._find, self._folder / name, mark)

    @staticmethod
    def _write(path: Path, lines: Sequence[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.with_suffix(".begun")
        with begun.open("wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="") as packed:
                for line in lines:
                    packed.write(line + b"\n")
            raw.flush()
            os.fsync(raw.fileno())
        begun.replace(path)
        for folder in (path.parent, path.parent.parent):  # its name must be on disk, too
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @staticmethod
    def _find(path: Path, mark: bytes) -> bytes | None:
        try:
            with gzip.open(path) as lines:
                return next((line for line in lines if line.startswith(mark)), None)
        except (OSError, EOFError):
            return None

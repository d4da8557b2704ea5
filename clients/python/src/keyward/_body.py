"""Bodies that are not in memory: they are read once for the digest, and a second time to be sent."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

# Larger bodies go to a temporary file on the disk.
_MEMORY_BYTES = 1 << 20
_CHUNK_BYTES = 64 * 1024


class StoredBody:
    """A body that can be read as often as needed. Has what HTTP libraries expect of a file."""

    def __init__(self, file: BinaryIO, start: int, sha256: bytes, length: int, *, owned: bool) -> None:
        self._file = file
        self._start = start
        self._length = length
        self.sha256 = sha256
        if owned:
            weakref.finalize(self, file.close)

    @classmethod
    def of_file(cls, file: BinaryIO) -> StoredBody:
        """A file that can be read from its present position twice. It must not change in between."""
        start = file.tell()
        digest, length = hashlib.sha256(), 0
        for chunk in iter(lambda: _bytes(file.read(_CHUNK_BYTES)), b""):
            digest.update(chunk)
            length += len(chunk)
        file.seek(start)
        return cls(file, start, digest.digest(), length, owned=False)

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes]) -> StoredBody:
        """A stream that can be read once: it is copied."""
        with Copy() as copy:
            for chunk in chunks:
                copy.add(_bytes(chunk))
            return copy.finish()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        """Counted from the beginning of the body, which may be in the middle of a file."""
        return self._file.tell() - self._start

    def seek(self, offset: int) -> int:
        return self._file.seek(self._start + offset) - self._start

    def rewind(self) -> None:
        self._file.seek(self._start)

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        self.rewind()
        return iter(lambda: self._file.read(_CHUNK_BYTES), b"")


class Copy:
    """Copies a stream, chunk by chunk. If that fails, the copy is closed."""

    def __init__(self) -> None:
        self._file = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES))  # noqa: SIM115 (StoredBody closes it)
        self._digest = hashlib.sha256()
        self._length = 0

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._file.close()

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self._length += len(chunk)

    def finish(self) -> StoredBody:
        self._file.seek(0)
        return StoredBody(self._file, 0, self._digest.digest(), self._length, owned=True)


def as_seekable(body: object) -> BinaryIO | None:
    """The body, if it is a file whose position can be set."""
    try:
        seekable = body.seekable()  # type: ignore[attr-defined]
        return cast(BinaryIO, body) if seekable and hasattr(body, "read") else None
    except (AttributeError, OSError, ValueError):
        return None


def _bytes(chunk: object) -> bytes:
    """HTTP libraries encode text files in different ways, so a file must be opened in binary mode."""
    if isinstance(chunk, str):
        raise TypeError("the body is a text file or yields str: open the file with mode 'rb', or encode what it yields")
    return bytes(cast(bytes, chunk))

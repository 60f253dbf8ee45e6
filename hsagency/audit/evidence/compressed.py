"""
One file as one zstd frame: written with a checksum, read as a stream in bounded memory.

Reading is strict: exactly one frame, whole, with nothing after it. What is not that raises
`Damage`, after the bytes that could still be unpacked.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STEP: Final = 1 << 18
"""Bytes that are read, unpacked or compared at once."""

_LEVEL: Final = 1  # records are mostly digests: higher levels are slower, and no smaller
_WINDOW: Final = 23  # 8 MB, far more than this level makes: more memory is not to be asked for
_PACKING: Final[Mapping[int, int]] = {
    zstd.CompressionParameter.compression_level: _LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
}
_UNPACKING: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: _WINDOW}


class Damage(Exception):
    """A file is not one whole frame; `cut` says that it merely ends too early."""

    def __init__(self, cause: str, *, cut: bool) -> None:
        super().__init__(cause)
        self.cut = cut


class Unpacked(io.RawIOBase):
    """
    The bytes that a frame holds, forwards only; closing it closes the file.

    `error` says what is raised where there is damage.
    """

    def __init__(self, file: BinaryIO, *, error: Callable[[Damage], Exception]) -> None:
        self._parts, self._file, self._error = unpack(file), file, error
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer as far as one part reaches; 0 is the end."""
        if not self._rest:
            try:
                self._rest = memoryview(next(self._parts, b""))
            except Damage as damage:
                raise self._error(damage) from damage
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def unpack(file: BinaryIO) -> Iterator[bytes]:
    """Yield what a frame holds, in parts of at most `STEP` bytes; raises `Damage`."""
    frame = zstd.ZstdDecompressor(options=_UNPACKING)
    while not frame.eof:
        packed = file.read(STEP) if frame.needs_input else b""
        if frame.needs_input and not packed:
            raise Damage("it ends before its end", cut=True)
        try:
            part = frame.decompress(packed, STEP)
        except zstd.ZstdError as error:
            raise Damage("it is not what zstd wrote", cut=False) from error
        if part:
            yield part
    if frame.unused_data or file.read(1):
        raise Damage("something was added after its end", cut=False)


def pack(source: BinaryIO, target: BinaryIO) -> None:
    """Write what is left of a file as one frame."""
    frame = zstd.ZstdCompressor(options=_PACKING)
    while part := source.read(STEP):
        target.write(frame.compress(part))
    target.write(frame.flush())

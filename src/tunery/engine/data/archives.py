"""
Zip archives from strangers: unpacks the XML of a workbook within limits, or says what is wrong.

Sizes are checked as declared and again while inflating, and what was counted is packed anew, so that the reader
of the workbook cannot see other members than those that were counted. It knows nothing of sheets.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from tunery.engine.data.tables import invalid

# Limits of docs/design.md: a 0.39 MB workbook was seen to unpack to 400 MB and to take 1,183 MB of memory.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_RATIO = 100
MAX_MEMBERS = 1_000

# Small members may well be very regular; only large ones can harm.
_RATIO_MATTERS_FROM_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    NotImplementedError,
    KeyError,
)


def unpack(data: bytes) -> dict[str, bytes]:
    """
    Return the XML members and the media type of the archive by their names.

    Raises DatasetInvalid for an archive that is cut off, damaged, protected or too large when unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_declared(archive.infolist())
            return _inflate(archive)
    except _DAMAGED as error:
        raise invalid("damaged-archive", "The workbook is damaged or cut off. Save it again.") from error


def pack(members: dict[str, bytes]) -> bytes:
    """Return an archive of these members, not compressed."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def _check_declared(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        message = f"The workbook has {len(members):,} parts, limit {MAX_MEMBERS:,}."
        raise invalid("archive-members", message, limit=MAX_MEMBERS, actual=len(members))
    if any(member.flag_bits & 1 for member in members):
        raise protected()
    _check_unpacked(sum(member.file_size for member in members))
    for member in members:
        ratio = member.file_size // max(1, member.compress_size)
        if member.file_size >= _RATIO_MATTERS_FROM_BYTES and ratio > MAX_RATIO:
            message = f"A part of the workbook is packed {ratio:,} to 1, limit {MAX_RATIO}."
            raise invalid("archive-ratio", message, limit=MAX_RATIO, actual=ratio)


def protected() -> Exception:
    """Return the error for a workbook that only a password opens."""
    return invalid("protected", "The workbook is protected with a password. Save it without one.")


def _inflate(archive: zipfile.ZipFile) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    inflated = 0
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")  # as some writers on Windows have it
        if not name.endswith((".xml", ".rels")) and name != "mimetype":
            continue  # pictures and macros
        content = bytearray()
        with archive.open(member) as source:
            while chunk := source.read(_CHUNK_BYTES):
                inflated += len(chunk)
                _check_unpacked(inflated)
                content += chunk
        members[name] = bytes(content)
    return members


def _check_unpacked(size: int) -> None:
    if size > MAX_UNPACKED_BYTES:
        message = f"The workbook has {size:,} bytes when unpacked, limit {MAX_UNPACKED_BYTES:,}."
        raise invalid("archive-size", message, limit=MAX_UNPACKED_BYTES, actual=size)

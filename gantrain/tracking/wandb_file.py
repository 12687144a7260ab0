"""What W&B's client has stored on disk: records of protocol buffers in LevelDB's log format."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7  # bytes; a file starts with ":W&B" and three more bytes
FULL, LAST = 1, 4  # kinds of chunks that complete a record; 2 and 3: its first and middle ones


def records(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield (kind, record) of a .wandb file, up to its end or to where a kill cut it off."""
    from wandb.proto import wandb_internal_pb2

    for data in _payloads(file.read_bytes()):
        record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        yield kind, getattr(record, kind)


def history(file: Path) -> list[dict[str, Any]]:
    """Return the logged rows of a .wandb file."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for kind, row in records(file)
        if kind == "history"
    ]


def _payloads(data: bytes) -> Iterator[bytes]:
    position, parts = HEADER, list[bytes]()
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:  # padding
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        end = position + HEADER + length
        if end > len(data):
            return
        parts.append(data[position + HEADER : end])
        position = end
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts.clear()

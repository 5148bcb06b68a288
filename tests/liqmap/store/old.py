"""Segments as they were written before there were checksums."""

from __future__ import annotations

import json
from itertools import pairwise

import pyarrow as pa
import pyarrow.ipc

from liqmap.store.segments import MANIFEST, TABLES, Segment, open_segment


def as_of_before(segment: Segment) -> Segment:
    """Rewrite a segment's files as an earlier version would have written them."""
    sizes = {}
    for name in TABLES:
        path = segment.path / f"{name}.arrow"
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_file(file).read_all().replace_schema_metadata(None).combine_chunks()
        rows = 8192 if name in {"buy", "sell"} else max(1, len(table))
        bounds = [*range(0, len(table), rows), len(table)]
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            for start, end in pairwise(bounds) if len(table) or rows == 8192 else [(0, 0)]:
                (batch,) = table.slice(start, end - start).to_batches() or [_empty(table.schema)]
                writer.write_batch(batch)
        sizes[name] = path.stat().st_size
    manifest = json.loads((segment.path / MANIFEST).read_bytes())
    del manifest["checks"], manifest["xxh3"]
    (segment.path / MANIFEST).write_text(json.dumps(manifest | {"sizes": sizes}, indent=1))
    found = open_segment(segment.path)
    assert found is not None
    assert not found.checks
    return found


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, each.type) for each in schema], schema=schema)

#!/usr/bin/env bash
# write_table(store_schema=False) drops the metadata that was put on the table.
#
# Version: pyarrow 26.0.1, Python 3.11, Linux x86-64.
# Behaviour: the option is described as leaving out the Arrow schema, the entry "ARROW:schema" that
#   other readers have no use for. Metadata that the program put on the table is an entry of its own
#   beside it, which any Parquet reader understands, but is left out along with it. So is the
#   metadata of fields. The columns and their types come back. There is no warning.
# Seen: with the default, the file's entries are "ARROW:schema" and "model"; with
#   store_schema=False, none. What ParquetWriter.add_key_value_metadata adds is kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import io

import pyarrow as pa
from pyarrow import parquet

field = pa.field("score", pa.float32(), metadata={"unit": "percent"})
schema = pa.schema([field], metadata={"model": "resnet50"})
table = pa.table({"score": [1.0]}, schema=schema)


def written(*, store_schema, later=None):
    """Return the file's own entries, and the metadata of table and field as read back."""
    buffer = io.BytesIO()
    with parquet.ParquetWriter(buffer, table.schema, store_schema=store_schema) as writer:
        writer.write_table(table)
        if later:
            writer.add_key_value_metadata(later)
    read = parquet.read_table(pa.BufferReader(buffer.getvalue())).schema
    entries = parquet.ParquetFile(io.BytesIO(buffer.getvalue())).metadata.metadata or {}
    return sorted(entries), read.metadata, read.field("score").metadata


default = written(store_schema=True)
without = written(store_schema=False)
later = written(store_schema=False, later={"model": "resnet50"})
for name, found in (("default", default), ("store_schema=False", without), ("added", later)):
    print(f"{name}: entries {found[0]}, table's metadata {found[1]}, field's {found[2]}")
assert default[0] == [b"ARROW:schema", b"model"]
assert default[1:] == ({b"model": b"resnet50"}, {b"unit": b"percent"})
assert without == ([], None, None), "store_schema=False keeps metadata now"
assert later[0] == [b"model"]
PYTHON

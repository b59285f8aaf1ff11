#!/usr/bin/env bash
# Parquet's page checksums leave out the statistics: one flipped bit can hide rows from a filter.
#
# Version: pyarrow 26.0.1, Python 3.11, Linux x86-64.
# Behaviour: write_page_checksum=True and page_checksum_verification=True are there to find damaged
#   files, and find a bit that was flipped in a page. Statistics, column names and the schema lie in
#   the file's footer, which has no checksum. A filtered read skips all rows of a row group whose
#   maximum says that none can match. After one flipped bit in that maximum, the rows are missing
#   without an error, while a read of the whole file still returns them.
# Seen: values 3 and 200, filter "above 150". Intact file: 1 row. One bit flipped in the footer's
#   maximum, which now reads 136: 0 rows. One bit flipped in the value 200 itself: OSError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct

import pyarrow as pa
from pyarrow import parquet

table = pa.table({"score": pa.array([3, 200], pa.int64())})
buffer = io.BytesIO()
parquet.write_table(
    table, buffer, write_page_checksum=True, use_dictionary=False, compression="none"
)
intact = buffer.getvalue()


def read(data, filters=None):
    found = parquet.read_table(
        pa.BufferReader(data), page_checksum_verification=True, filters=filters,
        use_threads=False, pre_buffer=False,
    )
    return found["score"].to_pylist()


def flipped(at):
    data = bytearray(intact)
    data[at] ^= 0x40
    return bytes(data)


def maximum(data):
    return parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).statistics.max


value = struct.pack("<q", 200)
places = [at for at in range(len(intact)) if intact.startswith(value, at)]
in_footer = next(at for at in places if maximum(flipped(at)) == 200 ^ 0x40)
in_page = intact.index(struct.pack("<qq", 3, 200)) + 8
damaged = flipped(in_footer)
above = [("score", ">", 150)]
print(f"intact: {read(intact)}, above 150: {read(intact, above)}, maximum {maximum(intact)}")
print(f"bit in the footer: {read(damaged)}, above 150: {read(damaged, above)}, "
      f"maximum {maximum(damaged)}")
try:
    message = str(read(flipped(in_page)))
except OSError as error:
    message = str(error)
print(f"bit in the page: {message}")
assert "CRC" in message, "a flipped bit in a page is no longer found"
assert read(intact, above) == [200]
assert read(damaged) == [3, 200]
assert read(damaged, above) == [], "a damaged maximum no longer hides rows"
PYTHON

#!/usr/bin/env bash
# Resizing integer boxes with torchvision gives other integers after torch.set_default_dtype.
#
# Version: torchvision 0.29.1 with torch 2.14.1 and torchvision 0.29.2 with torch 2.15.0,
#   Python 3.11, Linux x86-64.
# Behaviour: v2.Resize scales the coordinates of BoundingBoxes by a factor that it stores as a
#   tensor of the default dtype. Boxes of integers are thereby computed in that dtype and turned
#   into integers again: input and output are int64, so nothing shows that bfloat16, with its 8
#   significant bits, came in between. A program that sets it to save memory in its model moves its
#   boxes by several pixels. The resized image itself is the same to the bit.
# Seen: box (1001, 1203, 3011, 2033), image doubled. Default dtype float32: (2002, 2406, 6022,
#   4066). bfloat16: (2000, 2400, 6016, 4064). float16: (2002, 2406, 6024, 4066).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

corners = torch.tensor([[1001, 1203, 3011, 2033]])
image = torch.arange(3 * 60 * 80, dtype=torch.int64).reshape(3, 60, 80).to(torch.uint8)
boxes, images = {}, {}
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    torch.set_default_dtype(dtype)
    before = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(3000, 4000))
    after = v2.Resize((6000, 8000))(before)
    assert before.dtype == after.dtype == torch.int64
    boxes[dtype] = after[0].tolist()
    images[dtype] = v2.Resize((120, 160))(tv_tensors.Image(image))
    print(f"default dtype {dtype}: {boxes[dtype]}")
    assert torch.equal(images[dtype], images[torch.float32])
exact = (2 * corners)[0].tolist()
off = {
    dtype: max(abs(a - b) for a, b in zip(found, exact, strict=True))
    for dtype, found in boxes.items()
}
print(f"off by, in pixels: {off}")
assert off[torch.float32] == 0
assert off[torch.bfloat16] > 4, "boxes no longer follow the default dtype"
PYTHON

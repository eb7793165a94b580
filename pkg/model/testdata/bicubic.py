"""Writes bicubic.json: what PyTorch makes of small tables of positions."""
import json

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
cases = []
for side, height, width in [(1, 3, 2), (2, 2, 3), (3, 5, 4), (4, 2, 3), (4, 9, 4), (5, 1, 6), (7, 3, 11)]:
    d = 2
    table = torch.tensor([((i * 37 + 11) % 64 - 32) / 8 for i in range(side * side * d)], dtype=torch.float64)
    grid = table.reshape(1, side, side, d).permute(0, 3, 1, 2)
    out = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
    cases.append({
        "side": side, "height": height, "width": width,
        "table": table.tolist(), "want": [round(v, 12) for v in out.permute(0, 2, 3, 1).reshape(-1).tolist()],
    })
with open("bicubic.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")

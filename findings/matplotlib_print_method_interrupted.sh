#!/usr/bin/env bash
# Saving a figure calls a custom backend's print method up to three times; only one call ends.
#
# Version: matplotlib 3.11.2, Python 3.11, Linux x86-64.
# Behaviour: a canvas for another file format has a method print_FORMAT(filename, **kwargs), which
#   savefig calls. With bbox_inches="tight" or a constrained layout, it needs a renderer before.
#   To get one, it calls the method with an in-memory file in place of the name, and ends this call
#   by an exception, raised where the method draws the figure. So what the method does before, such
#   as opening a file or counting pages, is done several times, and what it does after only once.
#   The keyword arguments differ too. The template for backends mentions none of it.
# Seen: calls started, calls ended: 1, 1 plain; 2, 1 with a tight box; 3, 1 with a constrained
#   layout. The last call alone has the file's name and the argument facecolor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q matplotlib==3.11.2
cat >"$folder/counting.py" <<'PYTHON'
from matplotlib.backends.backend_template import FigureCanvasTemplate

started, ended = [], []


class FigureCanvas(FigureCanvasTemplate):
    def print_foo(self, filename, **kwargs):
        started.append((type(filename).__name__, "facecolor" in kwargs))
        self.draw()
        ended.append(filename)
PYTHON
PYTHONPATH="$folder" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import counting
from matplotlib.figure import Figure


def calls(*, layout=None, **options):
    counting.started.clear()
    counting.ended.clear()
    figure = Figure(layout=layout)
    figure.add_subplot()
    figure.savefig(f"{sys.argv[1]}/figure.foo", backend="module://counting", **options)
    return list(counting.started), len(counting.ended)


plain = calls()
tight = calls(bbox_inches="tight")
constrained = calls(layout="constrained")
for name, (started, ended) in (("plain", plain), ("tight", tight), ("constrained", constrained)):
    print(f"{name}: {len(started)} calls, {ended} ended; type of file and facecolor: {started}")
last, early = ("str", True), ("BytesIO", False)
assert plain == ([last], 1)
assert tight == ([early, last], 1), "a tight box calls the method in another way now"
assert constrained == ([early, early, last], 1), "a layout calls the method in another way now"
PYTHON

"""Print how long pytest took, by the report of tox, and how long everything took."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(report: str, seconds: str) -> None:
    """Read the report that tox wrote for ``--result-json``; a wrong call of tox leaves none."""
    path = Path(report)
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"testenvs": {}}
    ran = [command for each in found["testenvs"].values() for command in each.get("test", [])]
    pytest = [each["elapsed"] for each in ran if Path(each["command"][0]).stem == "pytest"]
    print(f"pytest: {in_minutes(sum(pytest))}, everything: {in_minutes(float(seconds))}")


def in_minutes(seconds: float) -> str:
    """Return a time such as "5 min 7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


if __name__ == "__main__":
    main(*sys.argv[1:])

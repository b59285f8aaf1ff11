"""Add built documentation to the site of all versions.

``python tools/place_docs.py docs/_build/html site --version v0.1.0 --url https://docs.example/``
copies it to ``site/0.1.0``, and to ``site/stable`` if there is no later release; ``--version dev``
copies it to ``site/dev``. ``site/versions.json`` then lists all versions, newest first, and the
site's start page and its page for missing addresses are those of ``stable``, or of ``dev`` before
the first release.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

DEV, STABLE = "dev", "stable"
MISSING = "404.html"
VERSION = re.compile(r"v?(?P<release>\d+(\.\d+)*)(?P<rest>((a|b|rc|\.post)\d+)?)")
START = """<!doctype html>
<html lang="en">
<title>effcam</title>
<meta http-equiv="refresh" content="0; url={folder}/">
<p><a href="{folder}/">The documentation of effcam</a></p>
</html>
"""


def place(built: Path, site: Path, version: str, url: str) -> None:
    """Add one version to the site and its list.

    Raises:
        SystemExit: If the version is not valid, or the folder has no built documentation.
    """
    if version != DEV and VERSION.fullmatch(version) is None:
        raise SystemExit(f"a version is `{DEV}` or reads like 0.1.0 or v0.1.0, not {version!r}")
    if not (built / "index.html").is_file():
        raise SystemExit(f"{built} holds no built documentation: it has no index.html")
    name = version.removeprefix("v")
    _replace(built, site / name)
    stable = _latest(_released(site))
    if name == stable:
        _replace(built, site / STABLE)
    listed = json.dumps(_listed(site, url.rstrip("/"), stable), indent=2)
    (site / "versions.json").write_text(f"{listed}\n", encoding="utf-8")
    start = START.format(folder=STABLE if stable else DEV)
    (site / "index.html").write_text(start, encoding="utf-8")
    # Hosts show this page for every missing address; its base leads to the rest.
    missing = site / (STABLE if stable else DEV) / MISSING
    if missing.is_file():
        shutil.copy(missing, site / MISSING)
    # Without it GitHub Pages leaves out folders that begin with an underscore, such as _static.
    (site / ".nojekyll").touch()


def _replace(built: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(built, folder)


def _released(site: Path) -> list[str]:
    """Return the releases of the site, newest first."""
    names = [each.name for each in site.iterdir() if each.is_dir()]
    return sorted(filter(VERSION.fullmatch, names), key=_order, reverse=True)


def _order(name: str) -> tuple[tuple[int, ...], int, str, int]:
    """Return a sort key of versions: 0.2.0rc1 < 0.2.0 < 0.2.0.post1 < 0.10.0."""
    found = VERSION.fullmatch(name)
    assert found is not None
    numbers = tuple(map(int, found["release"].split(".")))
    kind = found["rest"].rstrip("0123456789")
    number = int(found["rest"].removeprefix(kind) or 0)
    return numbers, {"": 1, ".post": 2}.get(kind, 0), kind, number


def _latest(released: list[str]) -> str | None:
    """Return the newest release that is not a preview, if any."""
    return next((name for name in released if re.fullmatch(r"[\d.]+(\.post\d+)?", name)), None)


def _listed(site: Path, url: str, stable: str | None) -> list[dict[str, str]]:
    """Return the entries of ``versions.json``, with the newest release at ``stable``."""
    entries = [
        {"name": f"{name} (stable)", "version": name, "url": f"{url}/{STABLE}/"}
        if name == stable
        else {"name": name, "version": name, "url": f"{url}/{name}/"}
        for name in _released(site)
    ]
    if (site / DEV).is_dir():
        entries.append({"name": DEV, "version": DEV, "url": f"{url}/{DEV}/"})
    return entries


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("built", type=Path, help="folder that sphinx-build wrote")
    parser.add_argument("site", type=Path, help="folder of all versions")
    parser.add_argument("--version", required=True, help=f"a release, or `{DEV}`")
    parser.add_argument("--url", required=True, help="address of the site")
    given = parser.parse_args()
    place(given.built, given.site, given.version, given.url)


if __name__ == "__main__":
    main()

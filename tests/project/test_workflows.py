"""Workflows, hooks and forms: what they call exists, and what they repeat agrees."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = [
    each.rpartition(" ")[2]
    for each in PROJECT["project"]["classifiers"]
    if re.search(r":: 3\.\d+$", each)
]
PARTS = {"browser": "browser", "docs-code": "docs", "ray": "ray"}
"""The workflows that run the tests of one marker, by name."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield f"{path.stem}: {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job.get("steps", []):
            yield name, step


def environments() -> set[str]:
    """Return the environments of tox.ini, with those that only name a Python."""
    tox = configparser.ConfigParser()
    tox.read(REPOSITORY / "tox.ini", encoding="utf-8")
    named = {each.removeprefix("testenv:") for each in tox.sections() if ":" in each}
    return named | {"py"} | {"py" + python.replace(".", "") for python in PYTHONS}


def in_env_list() -> set[str]:
    tox = configparser.ConfigParser()
    tox.read(REPOSITORY / "tox.ini", encoding="utf-8")
    return set(re.split(r"[,\s]+", tox["tox"]["env_list"].strip()))


def test_there_are_workflows_and_forms() -> None:
    names = ["browser", "docs-code", "docs", "full", "part", "ray", "release", "tests"]
    assert [path.stem for path in WORKFLOWS] == names
    assert [path.stem for path in FORMS] == ["bug", "config", "feature", "heatmap"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_says_so(path: Path) -> None:
    workflow = read(path)
    assert workflow["name"]
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow


def test_only_these_jobs_may_write() -> None:
    writing = {
        name: sorted(scope for scope, level in job["permissions"].items() if level == "write")
        for name, job in jobs()
        if "permissions" in job
    }
    assert writing == {
        "docs: publish": ["contents"],
        "release: build": ["attestations", "id-token"],
        "release: publish": ["id-token"],
    }


def test_actions_are_pinned_and_local_ones_exist() -> None:
    used = [step["uses"] for _, step in steps() if "uses" in step]
    used += [job["uses"] for _, job in jobs() if "uses" in job]
    for each in used:
        if each.startswith("./"):
            called = read(REPOSITORY / each)
            # YAML reads the key `on` as true.
            assert "workflow_call" in called[True]
        else:
            assert re.fullmatch(r"actions/[\w-]+@v\d+|[\w-]+/[\w-]+@[0-9a-f]{40}", each), each
    assert len(used) > 5


def test_steps_call_environments_and_files_that_exist() -> None:
    called: set[str] = set()
    for name, job in jobs():
        rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        for step in job.get("steps", []):
            for file in re.findall(r"(?:\.ci|tools)/[\w.]+", step.get("run", "")):
                assert (REPOSITORY / file).is_file(), f"{name}: {file}"
            for wanted in re.findall(r"\.ci/run -e (\S+)", step.get("run", "")):
                given = step.get("env", {}).get("ENVIRONMENTS", "")
                assert (wanted == '"${ENVIRONMENTS}"') == (given == "${{ matrix.environments }}")
                for row in rows:
                    names = set((row["environments"] if given else wanted).split(","))
                    assert names - environments() == set(), name
                    called |= names
    assert in_env_list() | {"full", "integrations", "lowest", "py312", "py313"} <= called


def test_everything_is_run_each_week() -> None:
    full = read(REPOSITORY / ".github" / "workflows" / "full.yml")
    assert set(full[True]) == {"schedule", "workflow_dispatch"}
    (each,) = full[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", each["cron"])
    assert full["jobs"]["full"]["steps"][-1] == {"run": ".ci/run -e full"}
    assert full["jobs"]["integrations"]["steps"][-1] == {"run": ".ci/run -e integrations"}


@pytest.mark.parametrize(("name", "marker"), PARTS.items())
def test_a_change_of_a_part_runs_the_tests_of_that_part(name: str, marker: str) -> None:
    workflow = read(REPOSITORY / ".github" / "workflows" / f"{name}.yml")
    ((kind, trigger),) = workflow[True].items()
    assert (kind, set(trigger)) == ("pull_request", {"paths"})
    for path in trigger["paths"]:
        assert list(REPOSITORY.glob(path)), path
    (job,) = workflow["jobs"].values()
    assert job["uses"] == "./.github/workflows/part.yml"
    assert job["with"] == {"marker": marker}
    declared = PROJECT["tool"]["pytest"]["ini_options"]["markers"]
    assert marker in {each.partition(":")[0] for each in declared}


def test_every_python_that_is_promised_is_tested() -> None:
    (matrix,) = (job["strategy"]["matrix"] for name, job in jobs() if name == "tests: tox")
    tested = {row["python"]: row["environments"] for row in matrix["include"]}
    assert sorted(tested) == PYTHONS
    for row in matrix["include"]:
        for name in re.findall(r"py(\d)(\d+)", row["environments"]):
            assert ".".join(name) == row["python"]


def test_what_is_published_was_built_from_the_tag_without_a_cache() -> None:
    release = read(REPOSITORY / ".github" / "workflows" / "release.yml")
    assert release[True] == {"push": {"tags": ["v*"]}}
    assert release["jobs"]["build"]["needs"] == "tests"
    assert release["jobs"]["publish"]["needs"] == "build"
    assert release["jobs"]["publish"]["environment"]["name"] == "pypi"
    building = release["jobs"]["build"]["steps"]
    assert not any("cache" in str(step) for step in building)
    commands = "\n".join(step.get("run", "") for step in building)
    assert ".ci/run -e package -- dist" in commands
    assert '"dist/effcam-${TAG#v}.tar.gz" "dist/effcam-${TAG#v}-py3-none-any.whl"' in commands


def test_hooks_run_the_releases_that_tox_runs() -> None:
    config = read(REPOSITORY / ".pre-commit-config.yaml")
    (local,) = (each for each in config["repos"] if each["repo"] == "local")
    pinned = {one for hook in local["hooks"] for one in hook["additional_dependencies"]}
    assert len(pinned) > 1
    assert pinned <= set(PROJECT["dependency-groups"]["lint"])


def test_tox_checks_every_workflow_and_form() -> None:
    tox = configparser.ConfigParser()
    tox.read(REPOSITORY / "tox.ini", encoding="utf-8")
    words = tox["testenv:lint"]["commands"].split()
    checked = {word for word in words if word.startswith(".github/")}
    found = {path.relative_to(REPOSITORY).as_posix() for path in WORKFLOWS + FORMS}
    assert checked == found | {".github/dependabot.yml"}


@pytest.mark.parametrize("name", ["bug", "heatmap"])
def test_reports_ask_what_is_installed(name: str) -> None:
    form = read(REPOSITORY / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    (field,) = (each for each in form["body"] if each.get("id") == "info")
    assert "`effcam info`" in field["attributes"]["label"]
    assert field["validations"]["required"] is True


def stub(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine that has little but a Python, which writes down what is run."""
    if not Path("/bin/bash").exists():
        pytest.skip("the script is bash's")
    (tmp_path / "checkout" / ".ci").mkdir(parents=True)
    shutil.copy(REPOSITORY / ".ci" / "run", tmp_path / "checkout" / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "mkdir", "cp", "chmod", "rm"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    log = tmp_path / "log"
    stub(programs, "record", f'echo "$@" >>{log}')
    stub(programs, "id", "echo 0")
    venv = 'mkdir -p "$3/bin"; for each in pip tox python; do cp "$0" "$3/bin/$each"; done'
    stub(programs, "python3", f'if [ "$1" = -m ]; then {venv}; else record "${{0##*/}}" "$@"; fi')
    return tmp_path


def run_ci(machine: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    done = subprocess.run(
        ["/bin/bash", "checkout/.ci/run", *arguments],
        cwd=machine,
        env={"PATH": str(machine / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = (machine / "log").read_text(encoding="utf-8")
    return done, re.sub(r"(?<=tox\.json )\d+", "SECONDS", ran).splitlines()


PLAIN = [
    "pip install -q tox tox-uv",
    "tox -e py -- -x",
    "python .ci/times.py .venv-test/tox.json SECONDS",
]


def test_ci_run_gives_its_arguments_to_tox(machine: Path) -> None:
    done, ran = run_ci(machine, "-e", "py", "--", "-x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ran == PLAIN


def test_ci_run_installs_chromium_where_there_is_none(machine: Path) -> None:
    stub(machine / "bin", "apt-get", 'echo noise; echo more >&2; record apt-get "$@"')
    done, ran = run_ci(machine, "-e", "py", "--", "-x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    install = "apt-get install -y --no-install-recommends chromium"
    assert ran == ["apt-get update", install, *PLAIN]


@pytest.mark.parametrize("browser", ["chromium", "google-chrome"])
def test_ci_run_leaves_a_browser_that_is_there(machine: Path, browser: str) -> None:
    stub(machine / "bin", "apt-get", 'record apt-get "$@"')
    stub(machine / "bin", browser, "")
    _, ran = run_ci(machine, "-e", "py", "--", "-x")
    assert ran == PLAIN


@pytest.mark.parametrize("user", ["0", "1000"])
def test_ci_run_goes_on_without_chromium(machine: Path, user: str) -> None:
    stub(machine / "bin", "apt-get", "exit 100")
    stub(machine / "bin", "id", f"echo {user}")
    done, ran = run_ci(machine, "-e", "py", "--", "-x")
    assert (done.returncode, ran) == (0, PLAIN)
    assert done.stderr == "no Chromium could be installed\n"


def test_ci_run_fails_as_tox_does(machine: Path) -> None:
    script = (machine / "bin" / "python3").read_text(encoding="utf-8")
    stub(machine / "bin", "python3", script + '\n[ "${0##*/}" != tox ]')
    done, ran = run_ci(machine, "-e", "py", "--", "-x")
    assert (done.returncode, ran) == (1, PLAIN)


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        ({"py": [(["/bin/pytest", "-n", "2"], 312.4)], "lint": [(["ruff"], 3)]}, "5 min 12 s"),
        ({"lint": [(["ruff"], 3)]}, "0 min 0 s"),
        (None, "0 min 0 s"),
    ],
)
def test_the_times_of_pytest_and_of_all_are_printed(
    tmp_path: Path, ran: dict[str, Any] | None, said: str
) -> None:
    report = tmp_path / "tox.json"
    if ran is not None:
        environments = {
            name: {"test": [{"command": command, "elapsed": time} for command, time in commands]}
            for name, commands in ran.items()
        }
        report.write_text(json.dumps({"testenvs": environments}), encoding="utf-8")
    tool = REPOSITORY / ".ci" / "times.py"
    command = [sys.executable, tool, report, "605"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"pytest: {said}, everything: 10 min 5 s\n"


def test_ci_run_can_be_run() -> None:
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)

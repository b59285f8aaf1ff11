"""The summary of ``effcam compare``: when it is printed, where it is saved, what it checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import effcam
from effcam.comparison import export
from effcam.demo import LABELS, Scene
from effcam.errors import OutputError
from effcam.metrics.summary.summary import FORMATS
from tests.cli.commands import DEMO, UNTRAINED, Done, files

pytestmark = pytest.mark.usefixtures("photos")

FOCUS = ("effective area", "Gini index", "half-mass area")


def test_a_summary_is_printed_and_no_picture_is_drawn(run: Callable[..., Done]) -> None:
    before = files()
    done = run("compare", "photos", *UNTRAINED, "-m", "two=test_efficientnet", "--summary")
    assert done.code == 0, done.err
    assert done.out.startswith("3 images.\n\nmodel ")
    lines = done.out.splitlines()
    assert any(line.startswith("focus ") for line in lines)
    for figure in FOCUS:
        assert figure in done.out
    assert "test_resnet, two: random weights, so the heat means nothing." in done.out
    assert "pointing game" not in done.out
    assert "accuracy, %" not in done.out
    assert files() == before


def test_what_is_asked_for_is_written_beside_a_summary(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--summary", "-o", "a.csv")
    assert done.code == 0, done.err
    first, *rest = done.out.splitlines()
    assert first == "wrote a.csv (3 images x 1 column)"
    assert rest[0] == "3 images."
    assert files() == ["a.csv", "photos"]


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [
        (".txt", "3 images."),
        (".md", "3 images"),
        (".tex", "%"),
        (".csv", "column,"),
        (".json", "{"),
        (".html", "<!"),
    ],
)
def test_a_summary_is_saved_in_every_format(
    run: Callable[..., Done], suffix: str, begins: str
) -> None:
    done = run("compare", "photos", *UNTRAINED, "--save-summary", f"scores{suffix}")
    assert done.code == 0, done.err
    # Printed it is only if that was asked for too.
    assert done.out == f"wrote scores{suffix} (summary)\n"
    assert files() == ["photos", f"scores{suffix}"]
    text = Path(f"scores{suffix}").read_text(encoding="utf-8")
    assert text.startswith(begins)
    assert "effective" in text


def test_a_summary_is_saved_in_several_files(run: Callable[..., Done]) -> None:
    given = ("--save-summary", "scores.json", "--save-summary", "scores.md")
    done = run("compare", "photos", *UNTRAINED, *given)
    assert done.code == 0, done.err
    assert done.out == "wrote scores.json (summary)\nwrote scores.md (summary)\n"
    assert json.loads(Path("scores.json").read_text(encoding="utf-8"))["images"] == 3
    assert "| effective area" in Path("scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "argv",
    [
        ["--save-summary", "a.csv", "--save-summary", "./a.csv"],
        ["-o", "a.csv", "--save-summary", "a.csv"],
        ["-o", "a.csv", "-o", "photos/../a.csv"],
    ],
)
def test_one_file_for_two_results_is_a_usage_error(
    run: Callable[..., Done], argv: list[str]
) -> None:
    done = run("compare", "photos", *UNTRAINED, *argv)
    assert (done.code, done.out) == (2, "")
    assert "twice" in done.err
    assert files() == ["photos"]


def test_every_format_of_a_summary_is_offered() -> None:
    assert set(FORMATS) == {".txt", ".md", ".tex", ".csv", ".json", ".html"}


def test_a_quiet_summary_is_saved_and_not_printed(run: Callable[..., Done]) -> None:
    done = run(
        "compare", "photos", *UNTRAINED, "--summary", "--save-summary", "scores.csv", "--quiet"
    )
    assert (done.code, done.out) == (0, "")
    assert files() == ["photos", "scores.csv"]


def test_a_summary_is_saved_and_printed(run: Callable[..., Done]) -> None:
    done = run("compare", "photos", *UNTRAINED, "--summary", "--save-summary", "scores.txt")
    text = Path("scores.txt").read_text(encoding="utf-8")
    assert done.out == f"{text}wrote scores.txt (summary)\n"
    quiet = run("compare", "photos", *UNTRAINED, "--save-summary", "again.txt", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert Path("again.txt").is_file()


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize(
    ("argv", "figures"),
    [
        (["--boxes", "boxes.json"], {"pointing game", "MaxBoxAcc"}),
        (["--masks", "masks"], {"pointing game", "PxAP"}),
        (["--labels", "labels.csv"], {"accuracy, %"}),
        (["--all-images"], set()),
        (
            ["--boxes", "boxes.json", "--masks", "masks", "--labels", "labels.csv", "--summary"],
            {"pointing game", "MaxBoxAcc", "PxAP", "accuracy, %"},
        ),
    ],
)
def test_annotations_of_the_images_require_a_summary(
    run: Callable[..., Done], argv: list[str], figures: set[str]
) -> None:
    before = files()
    done = run("compare", "photos", *DEMO, *argv)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 images")
    every = {"pointing game", "MaxBoxAcc", "PxAP", "accuracy, %"}
    assert {figure for figure in every if figure in done.out} == figures
    assert ("(centre)" in done.out) == ("pointing game" in figures)
    assert files() == before


def test_the_figures_are_those_of_the_comparison(
    run: Callable[..., Done], photos: Path, truths: list[Scene]
) -> None:
    run("compare", "photos", *DEMO, "--boxes", "boxes.json", "--masks", "masks",
        "--labels", "labels.csv", "--save-summary", "a.json")  # fmt: skip
    found = json.loads(Path("a.json").read_text(encoding="utf-8"))
    comparison = effcam.compare(photos, ["demo_alexnet", "demo_resnet"], progress=False)
    expected = comparison.summary(
        boxes=[scene.box for scene in truths],
        masks=[scene.mask for scene in truths],
        labels=[scene.target for scene in truths],
    )
    assert found["columns"] == ["demo_alexnet", "demo_resnet"]
    assert (found["images"], found["used"]) == (3, expected.used)
    kept = {measure["key"]: measure["values"] for measure in found["measures"]}
    for measure in expected.measures:
        key = measure.figure.key
        if key != "seconds":
            assert kept[key] == pytest.approx(measure.values.tolist()), key


@pytest.mark.usefixtures("truths")
def test_all_images_are_measured_where_that_is_asked_for(run: Callable[..., Done]) -> None:
    # The label of the first image is changed, so that no model is right there.
    lines = Path("labels.csv").read_text().splitlines()
    wrong = next(each for each in LABELS if not lines[1].endswith(each))
    Path("labels.csv").write_text("\n".join([lines[0], f"0.png,{wrong}", *lines[2:]]))
    argv = ["compare", "photos", "-m", "demo_resnet", "--labels", "labels.csv"]
    chosen = run(*argv)
    assert chosen.out.startswith("3 images; every figure but accuracy uses 2 of them.")
    assert "--all-images" in chosen.out
    every = run(*argv, "--all-images")
    assert every.out.startswith("3 images.\n")
    assert "--all-images" not in every.out
    for done in (chosen, every):
        assert re.search(r"demo_resnet .* 66\.7 ", done.out)


def test_faithfulness_is_measured_on_demand(run: Callable[..., Done], photos: Path) -> None:
    argv = ["compare", photos / "0.png", photos / "1.png", *UNTRAINED, "--device", "cpu"]
    assert "single deletion" not in run(*argv, "--summary").out
    done = run(*argv, "--faithfulness")
    assert done.code == 0, done.err
    for figure in ("faithfulness", "single deletion", "deletion", "ROAD", "(random map)"):
        assert figure in done.out
    assert files() == ["photos"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--boxes", "gone.json"], r"'gone\.json': there is no such file or folder"),
        (["--boxes", "broken.json"], r"'broken\.json': it begins like JSON, but is not valid"),
        (["--labels", "empty.csv"], r"'empty\.csv': the file is empty"),
        (["--labels", "gone.csv", "-o", "a.png"], r"'gone\.csv': there is no such file"),
        (["--masks", "empty"], r"'empty': the folder has no masks"),
        (["--summary", "--save-summary", "a.doc"], r"cannot save 'a\.doc': .* use one of \.txt"),
        (["--save-summary", "gone/a.txt"], "there is no folder 'gone'"),
    ],
)
def test_broken_files_of_the_truth_fail_before_any_model_runs(
    run: Callable[..., Done], asked: dict[str, Any], argv: list[str], message: str
) -> None:
    Path("broken.json").write_text('{"0.png": [1, 2,')
    Path("empty.csv").write_text("")
    Path("empty").mkdir()
    before = files()
    done = run("compare", "photos", *UNTRAINED, *argv)
    assert asked == {}
    assert (done.code, done.out) == (1, "")
    assert re.match(rf"effcam: error: .*{message}", done.err)
    assert done.err.count("\n") == 1
    assert files() == before


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("0.png,whale\n", "demo_resnet has no class called 'whale'"),
        ("0.png,10\n", "class 10 is out of range: demo_resnet has the 10 classes 0 to 9"),
        ("other.png,1\n", "there are no labels for any of the 3 images: they are for 'other.png'"),
    ],
)
def test_labels_that_fit_no_model_or_image_fail_before_any_model_runs(
    run: Callable[..., Done], asked: dict[str, Any], labels: str, message: str
) -> None:
    Path("labels.csv").write_text("image,label\n" + labels)
    done = run("compare", "photos", "-m", "demo_resnet", "--labels", "labels.csv", "-o", "a.png",
               "--save-summary", "a.txt")  # fmt: skip
    assert asked == {}
    assert (done.code, done.out) == (1, "")
    assert re.match(rf"effcam: error: .*({message})", done.err)
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("truths")
@pytest.mark.parametrize("name", ["test_resnet", "torchvision:alexnet"])
def test_published_weights_are_known_to_have_the_classes_of_imagenet(
    run: Callable[..., Done], asked: dict[str, Any], name: str
) -> None:
    Path("labels.csv").write_text("image,label\n0.png,whale\n")
    done = run("compare", "photos", "-m", name, "--labels", "labels.csv")
    assert asked == {}
    assert f"{name} has no class called 'whale'" in done.err
    Path("labels.csv").write_text("image,label\n0.png,tabby\n1.png,999\n")
    assert run("compare", "photos", "-m", name, "--labels", "labels.csv").code == 130
    assert [ref.name for ref in asked["images"]] == ["0.png", "1.png", "2.png"]


def test_a_summary_is_of_the_frames_that_were_asked_for(
    run: Callable[..., Done], photos: Path, asked: dict[str, Any]
) -> None:
    first, *more = [Image.new("RGB", (32, 32), (90, level, 9)) for level in (0, 80, 160, 240)]
    first.save(photos / "film.gif", save_all=True, append_images=more, duration=500)
    done = run("compare", photos / "film.gif", "-m", "demo_resnet", "--fps", 1, "--summary")
    assert (done.code, done.err) == (130, "effcam: interrupted\n")
    assert [ref.name for ref in asked["images"]] == ["film.gif @ 0:00.000", "film.gif @ 0:01.000"]


@pytest.mark.usefixtures("truths")
def test_pictures_are_saved_before_a_summary_that_fails(run: Callable[..., Done]) -> None:
    # Which classes a model without published weights has, is known when it is built.
    Path("labels.csv").write_text("image,label\n0.png,whale\n")
    argv = ["compare", "photos", *UNTRAINED, "--labels", "labels.csv", "-o", "a.png"]
    done = run(*argv, "--save-summary", "a.txt")
    assert done.code == 1
    assert done.out == "wrote a.png (3 images x 1 column)\n"
    assert re.search(r"^effcam: error: .*has no class called 'whale'", done.err, re.MULTILINE)
    assert not Path("a.txt").exists()
    told = run(*argv, "--json", "-q")
    assert told.code == 1
    assert told.err.count("\n") == 1
    document = json.loads(told.out)
    assert (document["written"], document["summary"]) == (["a.png"], None)


def test_a_picture_that_fails_does_not_cost_the_summary(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write a.json: no space left")

    monkeypatch.setitem(export.WRITERS, "json", full)
    done = run("compare", "photos", *UNTRAINED, "-o", "a.json", "--summary")
    assert done.code == 1
    assert done.out.startswith("3 images.")
    assert "effcam: error: cannot write a.json: no space left\n" in done.err


RESULTS = "model,infer_img_size,infer_samples_per_sec\ntest_resnet,64,123456\n"


def test_published_results_are_a_table_of_the_summary(run: Callable[..., Done]) -> None:
    Path("benchmark-infer-x.csv").write_text(RESULTS, encoding="utf-8")
    done = run("compare", "photos", *UNTRAINED, "--results", "benchmark-infer-x.csv")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("published elsewhere"))
    assert "images/s (x) ↑" in lines[at]
    assert lines[at + 1].split() == ["test_resnet", "123456"]
    assert "- Published figures are copied from benchmark-infer-x.csv" in done.out


def test_broken_results_are_refused_before_any_model_runs(run: Callable[..., Done]) -> None:
    Path("bad.csv").write_text("a photo", encoding="utf-8")
    given = ("--results", "bad.csv", "-o", "a.csv")
    done = run("compare", "photos", *UNTRAINED, *given)
    assert done.code == 1
    assert "results 'bad.csv': expected a table of timm's results" in done.err
    assert "a.csv" not in files()

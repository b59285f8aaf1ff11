"""Datasets of torchvision, and others with positions, as images; their classes as truth."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)
from torchvision.datasets import CIFAR10, DatasetFolder, FakeData, ImageFolder
from torchvision.transforms import Compose, Normalize, RandomCrop, ToTensor

from effcam import Comparison, Preprocess, compare, compare_dataset, load_model
from effcam.errors import ArgumentError, ImageError, ImageWarning
from effcam.images import ImageRef, iter_images
from effcam.images.truth import NamedClass, Truth
from tests.nets import ColourNet

INPUTS = Compose([ToTensor(), Normalize(0.5, 0.5)])


def colours(folder: Path) -> Path:
    """Write two pictures each of red and green, in folders."""
    for name, colour in (("red", (200, 20, 20)), ("green", (20, 200, 20))):
        (folder / name).mkdir(parents=True)
        for at in range(2):
            Image.new("RGB", (40, 30 + at), colour).save(folder / name / f"{at}.png")
    return folder


def refs(dataset: Any) -> list[ImageRef]:
    return list(iter_images(dataset))


def labels(dataset: Any) -> list[object]:
    return [ref.truth and ref.truth.label for ref in refs(dataset)]


def named(*names: str) -> list[NamedClass]:
    return [NamedClass(None, name) for name in names]


class Pairs(Dataset[Any]):
    """Pictures and targets, with a transform if one is given."""

    def __init__(self, known: list[Any], transform: Any = None, **more: Any) -> None:
        self.pairs, self.transform = known, transform
        vars(self).update(more)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        picture: Any = Image.new("RGB", (12, 10), (index, 0, 0))
        return self.transform(picture) if self.transform else picture, self.pairs[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def model() -> Any:
    plain = Preprocess(size=32, resize=32, mean=0, std=1)
    return load_model(ColourNet(), preprocess=plain, labels=["red", "green", "blue"])


def test_files_of_a_folder_are_read_as_files_and_not_transformed(folder: Path) -> None:
    found = refs(ImageFolder(str(folder), transform=INPUTS))
    assert [ref.name for ref in found] == ["green/0.png", "green/1.png", "red/0.png", "red/1.png"]
    assert [ref.path for ref in found] == [folder / ref.name for ref in found]
    assert labels(ImageFolder(str(folder))) == named("green", "green", "red", "red")


def test_a_loader_of_the_callers_own_is_used(folder: Path) -> None:
    data = DatasetFolder(str(folder), lambda _: np.full((5, 7, 3), 9, np.uint8), (".png",))
    ref = refs(data)[0]
    assert (ref.path, ref.open().size) == (None, (7, 5))


def test_subsets_keep_names_and_order(folder: Path) -> None:
    data = ConcatDataset([Subset(FakeData(5, (3, 8, 8)), [3, 1]), ImageFolder(str(folder))])
    with pytest.warns(ImageWarning, match="numbers without names of classes, and are not used"):
        found = [ref.name for ref in refs(Subset(data, [1, 2, -1]))]
    assert found == ["FakeData[1]", "green/0.png", "red/1.png"]


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([2], "index 2, and its dataset has 2 images"),
        ([-3], "index -3"),
        (np.array([True, False]), r"index True: .* numpy.flatnonzero\(mask\)"),
        ([0.0], "index 0.0: expected whole numbers"),
    ],
)
def test_an_index_of_a_subset_that_is_none_is_refused(indices: Any, said: str) -> None:
    data = Pairs(["a", "b"])
    with pytest.raises(ArgumentError, match=said):
        refs(Subset(data, indices))
    assert labels(Subset(data, torch.tensor([-1, 0]))) == named("b", "a")


def test_pictures_are_taken_before_the_transform() -> None:
    data = Pairs([1, 0], INPUTS, classes=["cat", "dog"])
    found = refs(data)
    assert [ref.truth and ref.truth.label for ref in found] == named("dog", "cat")
    assert np.asarray(found[1].open()).max() == 1
    assert data.transform is INPUTS


def test_pictures_of_arrays_in_memory(tmp_path: Path) -> None:
    # As torchvision stores CIFAR-10, without its download.
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    data = CIFAR10.__new__(CIFAR10)
    vars(data).update(
        root=str(tmp_path), transform=INPUTS, target_transform=None, transforms=None, train=True,
        data=np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3), targets=[1, 0],
        classes=["airplane", "automobile"],
    )  # fmt: skip
    assert labels(data) == named("automobile", "airplane")
    for at, ref in enumerate(refs(data)):
        assert (np.asarray(ref.open()) == data.data[at]).all()


def test_images_are_turned_upright(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    (tmp_path / "a").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "a" / "turned.jpg", exif=turned)
    assert [ref.open().size for ref in refs(ImageFolder(str(tmp_path)))] == [(10, 20)]


def test_numbers_without_names_and_other_targets_are_not_used() -> None:
    tensors = torch.zeros(2, 3, 8, 9, dtype=torch.uint8)
    with pytest.warns(ImageWarning, match=r"^TensorDataset: targets such as .* are numbers w"):
        assert labels(TensorDataset(tensors, torch.tensor([0, 1]))) == [None, None]
    with pytest.warns(ImageWarning, match=r"as \{'boxes': \[\]\} are no classes by name"):
        assert labels(Pairs([{"boxes": []}, 2.5])) == [None, None]
    assert labels(Pairs(["cat", None])) == [*named("cat"), None]


def test_a_list_of_targets_is_used_if_it_is_that_of_the_items() -> None:
    assert labels(Pairs([1, 0], classes=["a", "b"], targets=[1, 0])) == named("b", "a")
    assert labels(Pairs([1, 0], classes=["a", "b"], targets=[0, 0])) == named("b", "a")
    # The list of another order, with the same ends.
    mixed = Pairs([0, 1, 0, 1, 1, 0], classes=["a", "b"], targets=[0, 0, 1, 1, 1, 0])
    assert labels(mixed) == named("a", "b", "a", "b", "b", "a")


def test_inputs_of_a_model_are_refused_as_pictures() -> None:
    hidden = TensorDataset(torch.full((1, 3, 8, 9), -1.5))
    with pytest.raises(ImageError, match="undo a model's normalisation"):
        refs(hidden)[0].open()


def test_random_augmentation_is_refused() -> None:
    class Noisy(Pairs):
        def __getitem__(self, index: int) -> Any:
            return RandomCrop(4)(torch.rand(3, 8, 8)), 0

    with pytest.raises(ImageError, match="another picture each time"):
        refs(Noisy([0]))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DataLoader(Pairs([0])), "give its dataset, loader.dataset"),
        (Stream(), "without length"),
        ({"train": Pairs([0]), "test": Pairs([0])}, r"give one, as images\['train'\]"),
    ],
)
def test_what_is_no_dataset_of_pictures_is_refused(data: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        refs(data)


def test_an_item_that_needs_the_transform_is_refused() -> None:
    class Strict(Pairs):
        def __getitem__(self, index: int) -> Any:
            return self.transform(Image.new("RGB", (4, 4))), 0

    with pytest.raises(ImageError, match="cannot be read as an image and its class, before"):
        refs(Strict([0], INPUTS))


def test_an_item_that_cannot_be_read_fails_when_it_is_opened(model: Any) -> None:
    class Holed(Pairs):
        def __getitem__(self, index: int) -> Any:
            if index == 1:
                raise OSError("the file is gone")
            return super().__getitem__(index)

    data = Holed(["red"] * 3, classes=np.array(["red"]))
    with pytest.raises(
        ImageError, match=r"'Holed\[1\]': its dataset cannot give it: OSError: the f"
    ):
        refs(data)[1].open()
    found = compare(data, model, on_error="skip", progress=False)
    assert [each.image for each in found.skipped] == ["Holed[1]"]


def test_references_can_be_pickled() -> None:
    (ref,) = refs(Pairs(["a"]))
    assert pickle.loads(pickle.dumps(ref)).open().size == (12, 10)  # noqa: S301  # our own


def test_accuracy_is_by_name_and_not_by_index(folder: Path, model: Any) -> None:
    # In the folder, green is class 0 and red 1: the other way round than in the model.
    found = compare(ImageFolder(str(folder)), model, progress=False)
    assert found.summary()[0, "accuracy"] == 1
    assert found.cells[0].predicted_label == "green"


def test_classes_that_no_model_has_are_unknown_and_noted(model: Any) -> None:
    # A text of digits is no index of the model.
    data = Pairs([0, 1, 2], classes=["0", "cats", "red"])
    found = compare(data, model, progress=False)
    summary = found.summary()
    assert summary[0, "accuracy"] == 1
    assert summary.measure("accuracy").counts.tolist() == [1]
    (note,) = (each for each in summary.notes if "as without label" in each)
    assert note.startswith("2 images count as without label: of their classes in the dataset, 0, ")
    assert "Names are compared" in note
    assert found.grid().width > 0


def test_several_classes_of_an_image_are_unknown_to_models_that_say_one(model: Any) -> None:
    both = ImageRef("both", Image.new("RGB", (9, 9)), Truth(labels=tuple(named("red", "green"))))
    summary = compare([both], model, progress=False).summary()
    assert any("several are true of an image" in note for note in summary.notes)


def test_a_report_shows_classes_that_no_model_has(model: Any, tmp_path: Path) -> None:
    data = Pairs([0], classes=["cats"])
    comparison: Comparison = compare(data, model, progress=False)
    assert "cats" in comparison.report(tmp_path / "report.html").read_text()


def test_a_label_that_is_given_takes_the_place_of_the_datasets(model: Any) -> None:
    found = compare(Pairs([0], classes=["cats"]), model, progress=False)
    assert found.annotate(labels=["red"]).summary()[0, "accuracy"] == 1
    assert found.summary(labels=["green"])[0, "accuracy"] == 0


def test_a_run_on_disk_keeps_the_files_but_not_the_classes(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.warns(ImageWarning, match="give labels= and boxes= to its summary"):
        run = compare_dataset(
            ImageFolder(str(folder)), "demo_resnet", tmp_path / "run", progress=False
        )
    assert run.comparison().images[0].name == "green/0.png"
    with pytest.raises(ArgumentError, match="is not a file: a run that can be resumed"):
        compare_dataset(Pairs(["a"]), "demo_resnet", tmp_path / "other", progress=False)

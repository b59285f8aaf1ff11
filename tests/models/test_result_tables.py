"""timm's tables of results: what is read, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from effcam.errors import AnnotationError, ArgumentError
from effcam.models import result_tables
from effcam.models.result_tables import read_results

HEADER = "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation"
ACCURACIES = f"""{HEADER}
eva_giant_patch14_560.m30m_ft_in22k_in1k,560,89.786,10.214,98.992,1.008,"1,014.45",1.000,bicubic
resnet18.a1_in1k,288,73.156,26.844,91.022,8.978,11.69,1.000,bicubic
resnet18.a1_in1k,224,71.488,28.512,90.072,9.928,11.69,0.950,bicubic
"""
SPEEDS = """model,infer_img_size,infer_batch_size,infer_samples_per_sec,infer_step_time,param_count
resnet18,224,1024.0,5999.53,170.67,11.69
"""


def write(folder: Path, text: str | bytes, name: str = "results-imagenet.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_each_model_has_a_result_for_each_input_size(tmp_path: Path) -> None:
    (table,) = read_results(write(tmp_path, ACCURACIES))
    assert (table.file, table.quantity) == ("results-imagenet.csv", "top1")
    sizes = table.results["resnet18.a1_in1k"]
    assert {size: each.value for size, each in sizes.items()} == {288: 0.73156, 224: 0.71488}
    (large,) = table.results["eva_giant_patch14_560.m30m_ft_in22k_in1k"].values()
    assert large.parameters == 1014.45


def test_a_model_without_a_measured_speed_is_left_out(tmp_path: Path) -> None:
    text = f"{SPEEDS}eva02_enormous_patch14_clip_224,224,,,,1132.46\n"
    (table,) = read_results(write(tmp_path, text, "benchmark-infer-amp.csv"))
    assert list(table.results) == ["resnet18"]


def test_speeds_have_other_columns(tmp_path: Path) -> None:
    files = [write(tmp_path, ACCURACIES), write(tmp_path, SPEEDS, "benchmark-infer-x.csv")]
    _, table = read_results([str(each) for each in files])
    assert table.quantity == "infer_samples_per_sec"
    assert table.results["resnet18"][224].value == 5999.53


def test_a_byte_order_mark_other_orders_and_no_parameters_are_read(tmp_path: Path) -> None:
    text = "\ufeffTop1;model;img_size\r\n50;a.b;224\r\n\r\n50;a.b;224\r\n"
    (table,) = read_results(write(tmp_path, text))
    assert table.results["a.b"][224].value == 0.5
    assert math.isnan(table.results["a.b"][224].parameters)


def test_without_files_there_are_no_tables() -> None:
    assert read_results(None) == read_results([]) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEADER + "\n", "it has column names, but no rows"),
        ("model,top1\na,50\n", "with the columns model, img_size, top1 or model, infer_img_size"),
        ("model,train_samples_per_sec\na,50\n", "expected a table of timm's results"),
        ("a photo\n", "expected a table of timm's results"),
        (b"model,img_size,top1\n\xff\xfe,224,50\n", "expected text in UTF-8"),
        (ACCURACIES.encode("utf-16"), "expected text in UTF-8"),
        (f"{HEADER},top1\n", "two columns 'top1'"),
        ("model,img_size,top1\na,224\n", "line 2: expected 3 cells, found 2"),
        ("model,img_size,top1\n,224,50\n", "line 2: expected the name of a model"),
        ("model,img_size,top1\na,224,good\n", "line 2: top1 is 'good'; expected a number"),
        ("model,img_size,top1\na,224,nan\n", "line 2: top1 is 'nan'; expected a number"),
        ("model,img_size,top1\na,224,101\n", "line 2: top1 is 101, which is not possible"),
        ("model,img_size,top1\na,0.5,50\n", "img_size is 0.5; expected a number of px"),
        ("model,img_size,top1\na,224,50\na,224,51\n", "line 3: 'a' is listed twice at 224 px"),
        ('model,img_size,top1\n"a,224,50\n', "not a row of a table"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as caught:
        read_results(write(tmp_path, text))
    assert "results-imagenet.csv" in str(caught.value)


def test_missing_and_huge_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_results(tmp_path / "results.csv")
    with pytest.raises(AnnotationError, match="expected a file, found a folder"):
        read_results(tmp_path)
    monkeypatch.setattr(result_tables, "MOST_BYTES", 100)
    with pytest.raises(AnnotationError, match="bytes; expected 100 at most"):
        read_results(write(tmp_path, ACCURACIES))


def test_one_name_twice_and_other_arguments_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, ACCURACIES)
    with pytest.raises(ArgumentError, match="two files of results are called"):
        read_results([path, path])
    with pytest.raises(ArgumentError, match="a file or a list of files, not 3"):
        read_results(3)  # type: ignore[arg-type]

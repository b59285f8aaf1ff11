import numpy as np
import pytest
import torch

from effcam import Preprocess
from effcam.models.tracing.probe import probe_inputs, probe_pixels


def test_pictures_are_the_same_each_time_and_differ_by_place_and_seed():
    first, again = probe_pixels((40, 24), 3, 3), probe_pixels((40, 24), 3, 3)
    np.testing.assert_array_equal(first, again)
    assert len({each.tobytes() for each in first}) == 3
    assert not np.array_equal(first, probe_pixels((40, 24), 3, 3, seed=1))


def test_amplitude_falls_as_one_over_frequency():
    grey = probe_pixels((256, 256), 1, 8)[..., 0].astype(float)
    power = np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)) * 256
    low, high = (power[:, (radius > at / 2) & (radius < 2 * at)].mean() for at in (8, 32))
    assert low / high == pytest.approx(16, rel=0.35)  # amplitude 4, power 16


@pytest.mark.parametrize("channels", [1, 3])
def test_inputs_are_normalised_pixels(channels):
    preprocess = Preprocess(size=(20, 30), mean=(0.5,) * channels, std=(0.25,) * channels)
    pixels = torch.from_numpy(probe_pixels((20, 30), channels).transpose(0, 3, 1, 2).copy())
    torch.testing.assert_close(probe_inputs(preprocess), (pixels.float() / 255 - 0.5) / 0.25)


def test_a_picture_of_one_pixel_has_no_nan():
    assert probe_pixels((1, 1)).shape == (2, 1, 1, 3)

"""How often figures of equal models are called different, by the number of images.

    python benchmarks/false_positives.py [--repeats 6000] [--images 6 8 10 20 50]

Columns of numbers are drawn whose true means are equal. They are like the values of models on the
same images: an image is hard or easy for all of them. Printed are, in per cent, for the percentile
bootstrap of 1,000 draws (old) and for what effcam does (new):

- pair: two columns that are called different;
- ten: five columns of which any two of the ten pairs are called different;
- miss: intervals of a mean that do not contain it;
- power: two columns called different whose true means are 0.8 standard deviations of their
  differences apart, or of which one has half the hits; also Student's test, for scale.
- all: fourteen figures of five columns, independent of each other, of which any has a false
  finding: nothing corrects for the number of figures. It is computed from "ten".

The last lines name the worst rates and the bar of 6 %. Differences that are skewed so much that
their mean is rarely seen (lognormal) are printed, but no test of few images is right for them.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import ttest_1samp

from effcam.metrics import significance
from effcam.metrics.estimates import Means, estimate
from effcam.metrics.inference import ANY, HITS, SHARE, Range
from effcam.metrics.significance import LEVEL, holm
from effcam.text import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]

IMAGES = (2, 3, 5, 6, 8, 10, 20, 50)
DRAWS = 1000
AT_ONCE = 250  # repeats
COLUMNS = 5
FIGURES = 14
EFFECT = 0.8
BAR = 6.0


class Kind(NamedTuple):
    """Draws (images, columns) values of equal means.

    ``mean`` is that mean, ``spread`` the standard deviation of the differences, ``barred`` whether
    the bar holds for it.
    """

    draw: Callable[[np.random.Generator, int, int], Array]
    mean: float
    spread: float
    possible: Range = ANY
    barred: bool = True


def hits(share: float, tries: int = 1) -> Callable[[np.random.Generator, int, int], Array]:
    """Return a kind of hits, or of means of a few; some images are easier than others."""

    def draw(rng: np.random.Generator, images: int, columns: int) -> Array:
        ease = rng.beta(2 * share, 2 * (1 - share), (images, 1))
        return np.asarray(rng.binomial(tries, np.repeat(ease, columns, 1)) / tries)

    return draw


def skewed_apart(rng: np.random.Generator, images: int, columns: int, tail: str = "exp") -> Array:
    """Return columns of which every second is skewed, so that their differences are."""
    size = images, columns
    drawn = rng.exponential(1, size) - 1
    if tail == "lognormal":
        drawn = rng.lognormal(0, 1, size) - np.exp(0.5)
    return np.asarray(rng.normal(0, 0.1, size) + drawn * (np.arange(columns) % 2))


def with_images(noise: Callable[..., Array]) -> Callable[[np.random.Generator, int, int], Array]:
    """Return a kind of values that are a part of the image and one of the model."""

    def draw(rng: np.random.Generator, images: int, columns: int) -> Array:
        return noise(rng, (images, 1)) + noise(rng, (images, columns))

    return draw


KINDS = {
    "normal": Kind(with_images(lambda rng, size: rng.normal(0, 1, size)), 0, 2**0.5),
    "heavy-tailed (t, 3 df)": Kind(
        with_images(lambda rng, size: rng.standard_t(3, size)), 0, 6**0.5
    ),
    "skewed values (lognormal)": Kind(
        with_images(lambda rng, size: rng.lognormal(0, 1, size)), 2 * np.exp(0.5), 3.06
    ),
    "skewed differences (exponential)": Kind(skewed_apart, 0, 1.02),
    "shares, 50 % hits": Kind(hits(0.5), 0.5, 0.577, HITS),
    "shares, 80 % hits": Kind(hits(0.8), 0.8, 0.462, HITS),
    "shares, 97 % hits": Kind(hits(0.97), 0.97, 0.197, HITS),
    "means of three hits, 80 %": Kind(hits(0.8, 3), 0.8, 0.267, SHARE),
    "skewed differences (lognormal)": Kind(
        lambda rng, images, columns: skewed_apart(rng, images, columns, "lognormal"),
        0,
        2.17,
        barred=False,
    ),
}


@lru_cache(maxsize=1)
def _weights(images: int) -> Array:
    """Return how often each image is in each draw, (draws, images), as shares of a draw."""
    rng = np.random.default_rng(0)
    return rng.multinomial(images, np.full(images, 1 / images), DRAWS) / images


def percentile_bootstrap(values: Array, pairs: Pairs) -> tuple[Array, Array]:
    """Return the ends of the 95 % intervals of the means and then of the pairs' differences."""
    both = np.hstack([values, values[:, pairs[0]] - values[:, pairs[1]]])
    low, high = np.percentile(_weights(len(values)) @ both, [2.5, 97.5], axis=0)
    return low, high


class Rates(NamedTuple):
    """Rates in per cent, old and new, and the power of Student's test."""

    pair: tuple[float, ...]
    ten: tuple[float, ...]
    miss: tuple[float, ...]
    power: tuple[float, ...]


def measure(kind: Kind, images: int, repeats: int) -> Rates:
    """Return the rates over repeats."""
    rng = np.random.default_rng(images)
    parts = [min(AT_ONCE, repeats - start) for start in range(0, repeats, AT_ONCE)]
    null = 100 * np.concatenate([_null(kind, images, part, rng) for part in parts], axis=1)
    # Power need not be known as exactly.
    power = 100 * _power(kind, images, max(repeats // 4, 1), rng)
    pair_old, pair_new, ten_old, ten_new, miss_old, miss_new = map(float, null.mean(1))
    return Rates(
        (pair_old, pair_new), (ten_old, ten_new), (miss_old, miss_new), tuple(power.mean(1))
    )


def _null(kind: Kind, images: int, repeats: int, rng: np.random.Generator) -> Array:
    """Return which repeats find what is not there: (6, repeats), the rates from pair to miss."""
    drawn = [kind.draw(rng, images, COLUMNS) for _ in range(repeats)]
    pairs = _pairs(repeats, COLUMNS)
    values = np.hstack(drawn)
    low, high = percentile_bootstrap(values, pairs)
    old = ((low > 0) | (high < 0))[values.shape[1] :].reshape(repeats, -1)
    ends, p_values = compare(values, pairs, kind.possible)
    p_values = p_values.reshape(repeats, -1)
    _check(drawn[0], kind.possible, holm(p_values[0]))
    missed = [
        ((start > kind.mean) | (stop < kind.mean)).reshape(repeats, -1).mean(1)
        for start, stop in ((low[: values.shape[1]], high[: values.shape[1]]), ends)
    ]
    ten = np.array([(holm(each) <= LEVEL).any() for each in p_values])
    return np.array([old[:, 0], p_values[:, 0] <= LEVEL, old.any(1), ten, *missed], float)


def _power(kind: Kind, images: int, repeats: int, rng: np.random.Generator) -> Array:
    """Return which methods see a difference that has been added: (old, new, Student; repeats)."""
    drawn = []
    for _ in range(repeats):
        samples = kind.draw(rng, images, 2)
        if kind.possible in (HITS, SHARE):
            # A share cannot be moved: half of the second column's hits become misses.
            samples[:, 1] *= rng.random(images) < 0.5
        else:
            samples[:, 0] += EFFECT * kind.spread
        drawn.append(samples)
    values, pairs = np.hstack(drawn), _pairs(repeats, 2)
    low, high = (each[2 * repeats :] for each in percentile_bootstrap(values, pairs))
    gaps = values[:, pairs[0]] - values[:, pairs[1]]
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of differences that are all the same
        student = np.nan_to_num(ttest_1samp(gaps, 0).pvalue, nan=1.0)
    _, p_values = compare(values, pairs, kind.possible)
    return np.array([(low > 0) | (high < 0), p_values <= LEVEL, student <= LEVEL], float)


def compare(values: Array, pairs: Pairs, possible: Range) -> tuple[tuple[Array, Array], Array]:
    """Return effcam's intervals of all columns, and its p-values of pairs before correction."""
    means = Means(values.shape[1], pairs=pairs)
    means.add(values)
    return means.uncorrected(possible)


def _pairs(repeats: int, columns: int) -> Pairs:
    """Return the positions of every two columns of each repeat."""
    first, second = np.triu_indices(columns, 1)
    starts = columns * np.arange(repeats)[:, None]
    return (starts + first).ravel(), (starts + second).ravel()


def _check(samples: Array, possible: Range, corrected: Array) -> None:
    """Check that a repeat has the p-values that a summary of it would have."""
    found = estimate(samples, possible).p_values[np.triu_indices(COLUMNS, 1)]
    np.testing.assert_allclose(found, corrected)


def _row(images: int, rates: Rates) -> list[str]:
    numbers = [*rates.pair, *rates.ten, *rates.miss, *rates.power]
    anywhere = 100 * (1 - (1 - rates.ten[1] / 100) ** FIGURES)
    return [str(images), *(f"{each:.1f}" for each in numbers), f"{anywhere:.0f}"]


def main() -> int:
    """Print a table for each kind, and return 1 if a rate is above the bar."""
    parser = argparse.ArgumentParser(description="False positives by the number of images.")
    parser.add_argument("--repeats", type=int, default=6000)
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    options = parser.parse_args()
    # Fewer random flips than in a summary, which makes the test no less exact, but quicker.
    significance.LEAST_FLIPS, significance.FLIPS_PER_PAIR = 2000, 0
    head = ["images", "pair old", "new", "ten old", "new", "miss old", "new", "power old", "new"]
    worst = {"pair": 0.0, "ten": 0.0}
    for name, kind in KINDS.items():
        rows = [[*head, "Student", "all"]]
        for images in options.images:
            rates = measure(kind, images, options.repeats)
            rows.append(_row(images, rates))
            if kind.barred:
                worst = {
                    "pair": max(worst["pair"], rates.pair[1]),
                    "ten": max(worst["ten"], rates.ten[1]),
                }
        print(f"{name}\n{align(rows, right=range(len(rows[0])))}\n", flush=True)
    error = 100 * (0.05 * 0.95 / options.repeats) ** 0.5
    print(f"a rate of 5 % has a standard error of {error:.1f} points here")
    for what, rate in worst.items():
        verdict = "reached" if rate <= BAR else "missed"
        print(f"worst rate, {what}: {rate:.1f} %; the bar of {BAR:.0f} % is {verdict}")
    return int(max(worst.values()) > BAR)


if __name__ == "__main__":
    sys.exit(main())

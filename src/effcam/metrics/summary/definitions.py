"""The figures of a summary: their names, directions and units."""

from __future__ import annotations

from types import MappingProxyType

from effcam.metrics.summary import Figure

FIGURES = MappingProxyType(
    {
        figure.key: figure
        for figure in (
            Figure("accuracy", "accuracy", "model", "higher", "%", 1, "Top-1, on all labelled."),
            Figure(
                "confidence",
                "confidence",
                "model",
                None,
                "%",
                1,
                "The mean probability of the class that the model chose.",
            ),
            Figure(
                "parameters", "parameter count", "model", "lower", "M", 2, "Of all its weights."
            ),
            Figure(
                "flops",
                "FLOP count",
                "model",
                "lower",
                "G",
                2,
                "Operations of one image's forward pass, two a multiply-add, counted by torch.",
            ),
            Figure(
                "seconds",
                "time per image",
                "model",
                "lower",
                "ms",
                1,
                "From the input to the map, measured in this very run, on this machine.",
            ),
            Figure(
                "effective_area",
                "effective area",
                "focus",
                "lower",
                "%",
                1,
                "The share of the image over which heat spreads: the exponential of its entropy.",
            ),
            Figure(
                "gini",
                "Gini index",
                "focus",
                "higher",
                "",
                3,
                "How unevenly heat is spread over the image: 0 is even, 1 is one point.",
            ),
            Figure(
                "half_mass_area",
                "half-mass area",
                "focus",
                "lower",
                "%",
                1,
                "The smallest share of the image that holds half of the heat.",
            ),
            Figure(
                "pointing_game",
                "pointing game",
                "localisation",
                "higher",
                "%",
                1,
                "How often the hottest point is on the object, or within 3 % of the image's longer "
                "side of it (15 px of 500).",
            ),
            Figure(
                "energy_pointing_game",
                "energy pointing game",
                "localisation",
                "higher",
                "%",
                1,
                "The share of the heat that is on the object.",
            ),
            Figure(
                "mass_area_ratio",
                "mass / area",
                "localisation",
                "higher",
                "",
                2,
                "How many times denser heat is on the object than over the whole image.",
            ),
            Figure(
                "max_box_acc",
                "MaxBoxAcc",
                "localisation",
                "higher",
                "%",
                1,
                "How often a box around the largest hot part overlaps the object's by half; the "
                "threshold is chosen on the other half of the images.",
            ),
            Figure(
                "max_box_acc_v2",
                "MaxBoxAccV2",
                "localisation",
                "higher",
                "%",
                1,
                "The same for any hot part, the mean over overlaps of 0.3, 0.5 and 0.7.",
            ),
            Figure(
                "pixel_average_precision",
                "PxAP",
                "localisation",
                "higher",
                "%",
                1,
                "The average precision of heat as a guess at the object's pixels.",
            ),
            Figure(
                "temporal_stability",
                "stability",
                "sequence",
                None,
                "",
                3,
                "The rank correlation of the maps of two frames that follow each other, the mean.",
            ),
            Figure(
                "centre_shift",
                "centre shift",
                "sequence",
                None,
                "%",
                2,
                "How far the heat's centre of mass moves from one frame to the next, as a share of "
                "the image's diagonal, the mean.",
            ),
            Figure(
                "average_drop",
                "average drop",
                "faithfulness",
                "lower",
                "%",
                1,
                "The share of its confidence that a model loses when it sees the hot part alone.",
            ),
            Figure(
                "increase_in_confidence",
                "increase",
                "faithfulness",
                "higher",
                "%",
                1,
                "How often a model is surer when it sees the hot part alone.",
            ),
            Figure(
                "average_gain",
                "average gain",
                "faithfulness",
                "higher",
                "%",
                1,
                "The share of the confidence it lacked that a model wins by it.",
            ),
            Figure(
                "insertion",
                "insertion",
                "faithfulness",
                "higher",
                "%",
                1,
                "The mean probability while the hottest pixels come first into a blurred image.",
            ),
            Figure(
                "deletion",
                "deletion",
                "faithfulness",
                "lower",
                "%",
                1,
                "The mean probability while the hottest pixels go first.",
            ),
            Figure(
                "road",
                "ROAD",
                "faithfulness",
                "higher",
                "%",
                1,
                "How much more probability the hottest pixels hold than the coldest: half of the "
                "difference between removing these and removing those.",
            ),
            Figure(
                "randomisation",
                "after shuffling",
                "faithfulness",
                None,
                "",
                2,
                "The rank correlation with the map of the same model after the weights of the "
                "upper half of its layers were shuffled: near 0 if the map shows what was learnt.",
            ),
            Figure(
                "grid_pointing_game",
                "GridPG",
                "faithfulness",
                "higher",
                "%",
                1,
                "The share of the heat on the right image of a mosaic of four.",
            ),
        )
    }
)
"""Every figure of a summary by its key, in the order in which they are shown."""

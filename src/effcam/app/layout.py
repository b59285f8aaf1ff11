"""The components of the live page, in their places."""

from __future__ import annotations

from typing import Any

import gradio

from effcam.app import markup
from effcam.app.choices import QUESTIONS, TOP, demo_names, method_choices, model_names
from effcam.app.incoming import OWN, SCENES, WEIGHTS
from effcam.app.limits import Limits
from effcam.images.file_search import SUFFIXES as PHOTOS

FIRST_SCENES = 4
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial")
MONOSPACE = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
"""Fonts of the visitor's system: Gradio's own would be fetched from another host."""


class Parts:
    """The fields, the buttons and the places of results, made within a ``gradio.Blocks``.

    Args:
        limits: What the page accepts.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        gradio.HTML(markup.HEADER)
        with gradio.Row(elem_classes="eff-main"):
            with gradio.Column(scale=0, min_width=330, elem_classes="eff-controls"):
                self._add_images()
                self._add_models()
                self._add_question()
            with gradio.Column(scale=1, min_width=330, elem_classes="eff-results"):
                self._add_results()
        gradio.HTML(markup.footer(limits))

    def _add_images(self) -> None:
        limits = self._limits
        gradio.HTML(markup.heading(1, "Images"))
        self.images = gradio.Radio(
            [("Demo scenes", SCENES), ("Your photos", OWN)],
            value=SCENES,
            label="Images",
            show_label=False,
            container=False,
            elem_id="eff-images",
            elem_classes="eff-segments",
        )
        self.scenes = gradio.Slider(
            1,
            limits.photos,
            value=min(FIRST_SCENES, limits.photos),
            step=1,
            label="Number of scenes",
            elem_id="eff-scenes",
        )
        self.photos = gradio.File(
            label=f"Photos, at most {limits.photos}",
            file_count="multiple",
            file_types=sorted(PHOTOS),
            visible=False,
            height=190,
            elem_id="eff-photos",
        )
        self.photo_note = gradio.HTML(elem_id="eff-photo-note")

    def _add_models(self) -> None:
        limits = self._limits
        gradio.HTML(markup.heading(2, "Models"))
        names = model_names(limits)
        self.models = gradio.Dropdown(
            names,
            value=demo_names(limits),
            multiselect=True,
            max_choices=limits.models,
            label=f"Search {len(names):,} models" if limits.allowed is None else "Models",
            info=f"Up to {limits.models} at once. Demo models know only drawn objects.",
            elem_id="eff-models",
        )
        self.model_note = gradio.HTML(elem_id="eff-model-note")
        with gradio.Accordion(
            "Your own checkpoint",
            open=False,
            visible=limits.checkpoint_bytes > 0,
            elem_id="eff-own",
        ):
            self.checkpoints = gradio.File(
                label="Weights (" + ", ".join(WEIGHTS) + ")",
                file_count="multiple",
                file_types=list(WEIGHTS),
                height=150,
                elem_id="eff-checkpoints",
            )
            self.architecture = gradio.Dropdown(
                names,
                value=None,
                label="Architecture of these weights",
                elem_id="eff-architecture",
            )
            self.checkpoint_note = gradio.HTML(elem_id="eff-checkpoint-note")

    def _add_question(self) -> None:
        gradio.HTML(markup.heading(3, "Question"))
        self.question = gradio.Radio(
            list(QUESTIONS),
            value=TOP,
            label="Heat for",
            info="The class that the heat explains: by each model's own ranking, or one for all.",
            elem_id="eff-question",
        )
        self.class_name = gradio.Textbox(
            label="Class",
            placeholder="tabby",
            max_length=200,
            visible=False,
            elem_id="eff-class",
        )
        self.method = gradio.Dropdown(
            method_choices(self._limits),
            value="gradcam",
            label="Method",
            info="How the heat is computed. If in doubt, take gradcam.",
            elem_id="eff-method",
        )
        with gradio.Row(elem_classes="eff-actions"):
            self.compare = gradio.Button("Compare", variant="primary", elem_id="eff-compare")
            self.cancel = gradio.Button(
                "Cancel", variant="stop", visible=False, elem_id="eff-cancel"
            )

    def _add_results(self) -> None:
        self.status = gradio.HTML(markup.empty(), elem_id="eff-status")
        with gradio.Column(visible=False, elem_id="eff-result") as self.result:
            with gradio.Row(elem_classes="eff-downloads"):
                self.downloads = [
                    gradio.DownloadButton(f"Download {kind}", size="sm", elem_id=f"eff-{name}")
                    for kind, name in (("GIF", "gif"), ("PNG", "png"), ("report", "html"))
                ]
            self.frame = gradio.HTML(
                "",
                html_template=markup.asset("frame.html"),
                js_on_load=markup.asset("frame.js"),
                elem_id="eff-frame",
            )
            self.code = gradio.HTML("", js_on_load=markup.asset("copy.js"), elem_id="eff-code")


def theme() -> Any:
    """Return the look: the fonts of the visitor's system, and the colours of effcam's reports."""
    return gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="gray",
        radius_size="md",
        font=list(FONTS),
        font_mono=list(MONOSPACE),
    )

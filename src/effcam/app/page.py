"""The live page as Gradio components, and what its buttons do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import gradio

from effcam.app import markup
from effcam.app.choices import (
    NAMED,
    QUESTIONS,
    TOP,
    check_model,
    demo_names,
    method_choices,
    missing_weights,
    model_names,
)
from effcam.app.compute import Made, make
from effcam.app.incoming import OWN, SCENES, WEIGHTS, read, read_checkpoints, read_photos
from effcam.app.limits import Limits
from effcam.app.store import Store
from effcam.app.worker import UNEXPECTED, Ticket, Worker
from effcam.errors import EffcamError
from effcam.images.file_search import SUFFIXES as PHOTOS

logger = logging.getLogger("effcam.app")
INTERVAL = 0.15
"""How often progress is shown, in s."""
FIRST_SCENES = 4
SHOW = """() => {
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const behavior = smooth ? "smooth" : "instant";
  document.querySelector(".eff-results").scrollIntoView({ behavior });
}"""
"""Bring the results into view: on a phone they come after the fields."""
TITLE = "effcam: what classifiers look at"
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial")
MONOSPACE = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
"""Fonts of the visitor's system: Gradio's own would be fetched from another host."""


class Page:
    """The components of one page, and what they call.

    Attributes:
        blocks: The page, as Gradio serves it.
    """

    def __init__(self, limits: Limits, store: Store) -> None:
        self._limits, self._store = limits, store
        self._worker: Worker[Made] = Worker(limits)
        with gradio.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            gradio.HTML(markup.HEADER)
            with gradio.Row(elem_classes="eff-main"):
                with gradio.Column(scale=0, min_width=330, elem_classes="eff-controls"):
                    self._add_controls()
                with gradio.Column(scale=1, min_width=330, elem_classes="eff-results"):
                    self._add_results()
            gradio.HTML(markup.footer(limits))
            self._connect()
        self.blocks.preprocess_data = self._with_uploads_alone(self.blocks.preprocess_data)
        # Each event ends at once or waits in the line of the worker.
        self.blocks.queue(max_size=64, default_concurrency_limit=None)

    def close(self) -> None:
        """Stop the comparison that runs, and those that wait."""
        self._worker.close()

    def _with_uploads_alone(self, go_on: Callable[..., Any]) -> Callable[..., Any]:
        """Return a step of Gradio's that first refuses every file that is no upload.

        Gradio itself would fetch a file that is given by an address, from any host.
        """

        async def checked(function: object, inputs: object, *rest: Any, **options: Any) -> Any:
            if not self._store.holds_all_paths(inputs):
                raise gradio.Error("only files that were uploaded are accepted")
            return await go_on(function, inputs, *rest, **options)

        return checked

    def _add_controls(self) -> None:
        limits = self._limits
        gradio.HTML(markup.heading(1, "Images"))
        self._images = gradio.Radio(
            [("Demo scenes", SCENES), ("Your photos", OWN)],
            value=SCENES,
            label="Images",
            show_label=False,
            container=False,
            elem_id="eff-images",
            elem_classes="eff-segments",
        )
        self._scenes = gradio.Slider(
            1,
            limits.photos,
            value=min(FIRST_SCENES, limits.photos),
            step=1,
            label="Number of scenes",
            elem_id="eff-scenes",
        )
        self._photos = gradio.File(
            label=f"Photos, at most {limits.photos}",
            file_count="multiple",
            file_types=sorted(PHOTOS),
            visible=False,
            height=190,
            elem_id="eff-photos",
        )
        self._photo_note = gradio.HTML(elem_id="eff-photo-note")
        gradio.HTML(markup.heading(2, "Models"))
        names = model_names(limits)
        self._models = gradio.Dropdown(
            names,
            value=demo_names(limits),
            multiselect=True,
            max_choices=limits.models,
            label=f"Search {len(names):,} models" if limits.allowed is None else "Models",
            info=f"Up to {limits.models} at once. Demo models know only drawn objects.",
            elem_id="eff-models",
        )
        self._model_note = gradio.HTML(elem_id="eff-model-note")
        with gradio.Accordion(
            "Your own checkpoint",
            open=False,
            visible=limits.checkpoint_bytes > 0,
            elem_id="eff-own",
        ):
            self._checkpoints = gradio.File(
                label="Weights (" + ", ".join(WEIGHTS) + ")",
                file_count="multiple",
                file_types=list(WEIGHTS),
                height=150,
                elem_id="eff-checkpoints",
            )
            self._architecture = gradio.Dropdown(
                names,
                value=None,
                label="Architecture of these weights",
                elem_id="eff-architecture",
            )
            self._checkpoint_note = gradio.HTML(elem_id="eff-checkpoint-note")
        gradio.HTML(markup.heading(3, "Question"))
        self._question = gradio.Radio(
            list(QUESTIONS),
            value=TOP,
            label="Heat for",
            elem_id="eff-question",
        )
        self._class_name = gradio.Textbox(
            label="Class",
            placeholder="tabby",
            max_length=200,
            visible=False,
            elem_id="eff-class",
        )
        self._method = gradio.Dropdown(
            method_choices(limits), value="gradcam", label="Method", elem_id="eff-method"
        )
        with gradio.Row(elem_classes="eff-actions"):
            self._compare = gradio.Button("Compare", variant="primary", elem_id="eff-compare")
            self._cancel = gradio.Button(
                "Cancel", variant="stop", visible=False, elem_id="eff-cancel"
            )

    def _add_results(self) -> None:
        self._status = gradio.HTML(markup.empty(), elem_id="eff-status")
        with gradio.Column(visible=False, elem_id="eff-result") as self._result:
            with gradio.Row(elem_classes="eff-downloads"):
                self._downloads = [
                    gradio.DownloadButton(f"Download {kind}", size="sm", elem_id=f"eff-{name}")
                    for kind, name in (("GIF", "gif"), ("PNG", "png"), ("report", "html"))
                ]
            self._frame = gradio.HTML(
                "",
                html_template=markup.asset("frame.html"),
                js_on_load=markup.asset("frame.js"),
                elem_id="eff-frame",
            )
            self._code = gradio.HTML("", js_on_load=markup.asset("copy.js"), elem_id="eff-code")

    def _connect(self) -> None:
        self._fields = {
            "images": self._images,
            "scenes": self._scenes,
            "photos": self._photos,
            "models": self._models,
            "checkpoints": self._checkpoints,
            "architecture": self._architecture,
            "method": self._method,
            "question": self._question,
            "class_name": self._class_name,
        }
        quick: dict[str, Any] = {
            # Values are checked here, not by Gradio, which would fetch addresses given as files.
            "preprocess": False,
            "api_visibility": "private",
            "show_progress": "hidden",
            "queue": False,
        }
        self._images.change(
            self._choose_images,
            [self._images, self._models],
            [self._scenes, self._photos, self._photo_note, self._model_note],
            **quick,
        )
        self._photos.change(self._note_photos, self._photos, self._photo_note, **quick)
        self._models.change(
            self._note_models, [self._models, self._images], self._model_note, **quick
        )
        self._checkpoints.change(
            self._note_checkpoints, self._checkpoints, self._checkpoint_note, **quick
        )
        self._question.change(
            lambda value: gradio.update(visible=value == NAMED),
            self._question,
            self._class_name,
            **quick,
        )
        outputs = [
            self._status,
            self._compare,
            self._cancel,
            self._result,
            self._frame,
            self._code,
            *self._downloads,
        ]
        for start in (self._compare.click, self._class_name.submit):
            start(
                self._run,
                list(self._fields.values()),
                outputs,
                preprocess=False,
                api_visibility="private",
                show_progress="hidden",
                concurrency_limit=None,
            )
        self._compare.click(None, js=SHOW)
        self._cancel.click(self._stop, None, None, **quick)
        self.blocks.unload(self._leave)

    # What the components call. Gradio gives a `Request` by the annotation of its parameter.

    def _choose_images(self, images: object, models: object) -> tuple[Any, ...]:
        own = images == OWN
        return (
            gradio.update(visible=not own),
            gradio.update(visible=own),
            "",
            self._note_models(models, images),
        )

    def _note_photos(self, photos: object, request: gradio.Request) -> str:
        return self._noted(
            lambda visitor: read_photos(photos, self._limits, self._store, visitor), request
        )

    def _note_checkpoints(self, files: object, request: gradio.Request) -> str:
        return self._noted(
            lambda visitor: read_checkpoints(files, self._limits, self._store, visitor), request
        )

    def _noted(self, check: Callable[[str], object], request: gradio.Request) -> str:
        """Return a note on what is wrong with files, empty if nothing is."""
        try:
            check(_visitor(request))
        except EffcamError as error:
            return markup.note(str(error), bad=True)
        return ""

    def _note_models(self, models: object, images: object) -> str:
        try:
            names = [check_model(name, self._limits) for name in models or []]  # type: ignore[attr-defined]
            text = markup.download_note(missing_weights(names))
        except EffcamError as error:
            return markup.note(str(error), bad=True)
        if images == OWN and names and all(name.startswith("demo_") for name in names):
            text += markup.note(
                "Demo models only know drawn objects: what they find in photos means nothing. "
                "Search for models such as resnet50."
            )
        return text

    async def _run(
        self, request: gradio.Request, *values: object
    ) -> AsyncIterator[tuple[Any, ...]]:
        visitor = _visitor(request)
        try:
            asked = read(
                dict(zip(self._fields, values, strict=True)), self._limits, self._store, visitor
            )
            self._store.forget_runs(visitor)
            ticket = self._worker.submit(
                visitor, lambda own: make(asked, self._limits, self._store, own)
            )
        except EffcamError as error:
            yield self._answer(markup.problem(str(error)))
            return
        except Exception:
            logger.exception("the live page could not start a comparison")
            yield self._answer(markup.problem(UNEXPECTED))
            return
        shown = ""
        while not (ticket.ended or ticket.cancelled):
            now = markup.progress(ticket, self._worker.ahead(ticket))
            if now != shown:
                yield self._answer(now, busy=True)
                shown = now
            await asyncio.sleep(INTERVAL)
        yield self._ended(ticket)

    def _ended(self, ticket: Ticket[Made]) -> tuple[Any, ...]:
        if ticket.cancelled:
            return self._answer(markup.cancelled())
        if ticket.result is None:
            return self._answer(markup.problem(ticket.error))
        return self._answer(
            markup.finished(ticket.result.title, ticket.result.notes), made=ticket.result
        )

    def _answer(
        self, status: str, *, busy: bool = False, made: Made | None = None
    ) -> tuple[Any, ...]:
        """Return the values of what a comparison changes, in the order of its outputs."""
        files = [None] * 3 if made is None else [made.animation, made.picture, made.report]
        return (
            status,
            gradio.update(visible=not busy),
            gradio.update(visible=busy),
            gradio.update(visible=made is not None),
            "" if made is None else f"gradio_api/file={quote(made.report.as_posix())}",
            "" if made is None else markup.code(made.code),
            *(gradio.update(value=None if file is None else str(file)) for file in files),
        )

    def _stop(self, request: gradio.Request) -> None:
        self._worker.cancel(_visitor(request))

    def _leave(self, request: gradio.Request) -> None:
        self._worker.cancel(_visitor(request))
        self._store.forget(_visitor(request))


def theme() -> Any:
    """Return the look: the fonts of the visitor's system, and the colours of effcam's reports."""
    return gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="gray",
        radius_size="md",
        font=list(FONTS),
        font_mono=list(MONOSPACE),
    )


def _visitor(request: gradio.Request) -> str:
    return str(request.session_hash or "")

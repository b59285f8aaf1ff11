"""The live page: what its fields and buttons do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import gradio

from effcam.app import markup
from effcam.app.choices import NAMED, check_model, demo_note, missing_weights
from effcam.app.compute import Made, make
from effcam.app.incoming import OWN, read, read_checkpoints, read_photos
from effcam.app.layout import Parts
from effcam.app.limits import Limits
from effcam.app.store import Store
from effcam.app.worker import UNEXPECTED, Ticket, Worker
from effcam.errors import EffcamError

logger = logging.getLogger("effcam.app")
INTERVAL = 0.15
"""How often progress is shown, in s."""
SHOW = """() => {
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const behavior = smooth ? "smooth" : "instant";
  document.querySelector(".eff-results").scrollIntoView({ behavior });
}"""
"""Bring the results into view: on a phone they come after the fields."""
TITLE = "effcam: what classifiers look at"


class Page:
    """One page: its parts, and what they call.

    Attributes:
        blocks: The page, as Gradio serves it.
    """

    def __init__(self, limits: Limits, store: Store) -> None:
        self._limits, self._store = limits, store
        self._worker: Worker[Made] = Worker(limits)
        with gradio.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self._parts = Parts(limits)
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
                raise gradio.Error(
                    "only files that were uploaded are accepted", print_exception=False
                )
            return await go_on(function, inputs, *rest, **options)

        return checked

    def _connect(self) -> None:
        parts = self._parts
        self._fields = {
            "images": parts.images,
            "scenes": parts.scenes,
            "photos": parts.photos,
            "models": parts.models,
            "checkpoints": parts.checkpoints,
            "architecture": parts.architecture,
            "method": parts.method,
            "question": parts.question,
            "class_name": parts.class_name,
        }
        quick: dict[str, Any] = {
            # Values are checked here, not by Gradio, which would fetch addresses given as files.
            "preprocess": False,
            "api_visibility": "private",
            "show_progress": "hidden",
            "queue": False,
        }
        # The fields change at once: the note may have to wait for the libraries of models.
        parts.images.change(
            self._choose_images,
            parts.images,
            [parts.scenes, parts.photos, parts.photo_note],
            **quick,
        )
        parts.images.change(
            self._note_models, [parts.models, parts.images], parts.model_note, **quick
        )
        parts.photos.change(self._note_photos, parts.photos, parts.photo_note, **quick)
        parts.models.change(
            self._note_models, [parts.models, parts.images], parts.model_note, **quick
        )
        parts.checkpoints.change(
            self._note_checkpoints, parts.checkpoints, parts.checkpoint_note, **quick
        )
        parts.question.change(
            lambda value: gradio.update(visible=value == NAMED),
            parts.question,
            parts.class_name,
            **quick,
        )
        outputs = [
            parts.status,
            parts.compare,
            parts.cancel,
            parts.result,
            parts.frame,
            parts.code,
            *parts.downloads,
        ]
        for start in (parts.compare.click, parts.class_name.submit):
            start(
                self._run,
                list(self._fields.values()),
                outputs,
                preprocess=False,
                api_visibility="private",
                show_progress="hidden",
                concurrency_limit=None,
            )
        parts.compare.click(None, js=SHOW)
        parts.cancel.click(self._stop, None, None, **quick)
        self.blocks.unload(self._leave)

    # What the components call. Gradio gives a `Request` by the annotation of its parameter.

    def _choose_images(self, images: object) -> tuple[Any, ...]:
        own = images == OWN
        return gradio.update(visible=not own), gradio.update(visible=own), ""

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
        return text + (markup.note(demo_note(names)) if images == OWN else "")

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


def _visitor(request: gradio.Request) -> str:
    return str(request.session_hash or "")

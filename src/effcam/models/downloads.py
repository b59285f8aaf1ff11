"""Published weights: find them in local caches, and download them.

Without a network, each download would retry for a long time before it fails. So the local caches
are searched first, and each host is then tried once for all files that are missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from effcam.errors import WeightsError

PROBE_SECONDS = 5.0
REMEDY = (
    "Go online once so that they can be fetched, or give a local file "
    "(checkpoint=..., on the command line --checkpoint NAME=FILE), or compare untrained models "
    "(pretrained=False, on the command line --weights none)."
)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """The place of one set of published weights, or of its configuration.

    Attributes:
        name: The model that they belong to, for messages.
        repository: The repository on the Hugging Face hub; empty for a plain file.
        files: The names that the file may have in the repository, the best first.
        url: The address of a plain file; empty for a repository.
        revision: The branch, tag or commit of the repository; empty is the main branch.
        kind: ``"weights"`` or ``"configuration files"``, for messages.
        remedy: What to do if they cannot be downloaded, for messages.
    """

    name: str
    repository: str = ""
    files: tuple[str, ...] = ()
    url: str = ""
    revision: str = ""
    kind: str = "weights"
    remedy: str = REMEDY

    @property
    def origin(self) -> str:
        """The address of the repository or the file, for messages."""
        return f"{_hub_address()}/{self.repository}" if self.repository else self.url

    def find(self) -> Path | None:
        """Return the file in the local cache of its library, or ``None``."""
        if not self.repository:
            path = _url_cache(self.url)
            return path if path.is_file() else None
        from huggingface_hub import try_to_load_from_cache

        for file in self.files:
            found = try_to_load_from_cache(self.repository, file, revision=self.revision or None)
            if isinstance(found, str):
                return Path(found)
        return None

    def fetch(self) -> Path:
        """Return the file, downloaded into its library's cache if it is not there.

        Raises:
            WeightsError: If it is not on disk and cannot be fetched.
        """
        found = self.find()
        if found is not None:
            return found
        require([self])
        try:
            return self._download()
        except Exception as error:  # the hub's client has its own exceptions
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            raise WeightsError(
                f"the {self.kind} of {self.name} could not be fetched from {self.origin}: "
                f"{_first_line(error)}. {self.remedy}"
            ) from error

    def fetch_if_there(self) -> Path | None:
        """Return the file as `fetch` does, ``None`` if its repository has none of that name.

        Raises:
            WeightsError: If it is not on disk and its host cannot be reached.
        """
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        if self._is_known_missing():
            return None
        try:
            return self.fetch()
        except WeightsError as error:
            cause = error.__cause__
            is_missing = isinstance(cause, EntryNotFoundError)
            if is_missing and not isinstance(cause, LocalEntryNotFoundError):
                return None
            raise

    def _is_known_missing(self) -> bool:
        """Return whether the cache of the hub knows that the repository has no such file."""
        from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

        return all(
            try_to_load_from_cache(self.repository, file, revision=self.revision or None)
            is _CACHED_NO_EXIST
            for file in self.files
        )

    def _download(self) -> Path:
        if not self.repository:
            import torch

            path = _url_cache(self.url)
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = re.search(r"-([a-f0-9]{8,})\.", path.name)
            torch.hub.download_url_to_file(
                self.url, str(path), digest and digest[1], progress=sys.stderr.isatty()
            )
            return path
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        place: dict[str, Any] = {
            "endpoint": _hub_address(),
            "revision": self.revision or None,
        }
        for file in self.files[:-1]:
            try:
                return Path(hf_hub_download(self.repository, file, **place))
            except LocalEntryNotFoundError:  # the hub does not answer: no other name will help
                raise
            except EntryNotFoundError:
                continue
        return Path(hf_hub_download(self.repository, self.files[-1], **place))


def require(wanted: Sequence[PublishedWeights]) -> None:
    """Check within seconds that all weights are on disk or their hosts answer.

    Raises:
        WeightsError: If some are missing and their host does not answer; names all of them.
    """
    missing = [weights for weights in wanted if weights.find() is None]
    silent = _find_silent({_host(weights) for weights in missing})
    lost = [weights for weights in missing if _host(weights) in silent]
    if not lost:
        return
    names = ", ".join(f"{weights.name} ({weights.origin})" for weights in lost)
    hosts = " and ".join(
        f"{urlsplit(host).netloc or host} ({reason})" for host, reason in sorted(silent.items())
    )
    raise WeightsError(
        f"these {lost[0].kind} are not on this machine and {hosts} cannot be reached: {names}. "
        f"{lost[0].remedy}"
    )


def cache_folders() -> dict[str, Path]:
    """Return the download folders of torch's hub and of the Hugging Face hub.

    Raises:
        ImportError: If one of the libraries is not installed or broken.
    """
    from huggingface_hub import constants

    return {"torch hub": _url_folder(), "Hugging Face": Path(constants.HF_HUB_CACHE)}


def read_ahead(file: Path) -> None:
    """Prefetch a file into the system's page cache, in the background.

    It takes no memory of the process. Nothing happens on systems without this call.
    """
    if not hasattr(os, "posix_fadvise"):  # macOS and Windows
        return
    with contextlib.suppress(OSError), file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def is_repository(name: str) -> bool:
    """Return whether a repository on the Hugging Face hub can have that name."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return False
    return True


def _find_silent(hosts: Iterable[str]) -> dict[str, str]:
    """Return the hosts that do not answer, and why, in at most `PROBE_SECONDS` for all."""
    reasons: dict[str, str] = {}

    def probe(host: str) -> None:
        reasons[host] = _refusal(host)

    # Name resolution has no time limit, so it runs in threads that may be left behind.
    threads = [threading.Thread(target=probe, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {PROBE_SECONDS:g} s"
    return {host: reason for host in hosts if (reason := reasons.get(host, late))}


def _refusal(host: str) -> str:
    """Return why a host does not answer, an empty text if it does; proxies are respected."""
    if host == _hub_address() and _hub_is_off():
        return "HF_HUB_OFFLINE is set"
    try:
        request = urllib.request.Request(host, method="HEAD")
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return ""  # an error page is an answer
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            return ""  # it answers, and the hub's client has its own certificates
        return str(error.reason)
    except (OSError, ValueError, HTTPException) as error:
        return _first_line(error)


def _host(weights: PublishedWeights) -> str:
    if weights.repository:
        return _hub_address()
    parts = urlsplit(weights.url)
    return f"{parts.scheme}://{parts.netloc}"


def _hub_address() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _hub_is_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _url_cache(url: str) -> Path:
    return _url_folder() / Path(urlsplit(url).path).name


def _url_folder() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__

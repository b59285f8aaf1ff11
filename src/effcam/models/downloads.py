"""Published weights: where they lie on this machine, and how they get there.

Nobody should wait for a hub's retries five times over to learn that there is no network. So the
local caches are looked into first, and the hosts are asked once, for all that is missing.
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
WAYS_ON = (
    "Go online once so that they can be fetched, or give a local file "
    "(checkpoint=..., on the command line --checkpoint NAME=FILE), or compare untrained models "
    "(pretrained=False, on the command line --weights none)."
)


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """Where one set of published weights, or what belongs to it, can be had.

    Attributes:
        name: The model that they belong to, for messages.
        repository: The repository on the Hugging Face hub; empty if they are a plain file.
        files: The names that the file may have in the repository, the best first.
        url: The address of a plain file; empty if they are on the hub.
        revision: The branch, tag or commit of the repository; empty is the main branch.
        kind: What they are, for messages.
        ways_on: What to do where they cannot be had, for messages.
    """

    name: str
    repository: str = ""
    files: tuple[str, ...] = ()
    url: str = ""
    revision: str = ""
    kind: str = "weights"
    ways_on: str = WAYS_ON

    @property
    def origin(self) -> str:
        """Where they come from, for messages: ``huggingface.co/timm/...`` or an address."""
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
        """Return the file, downloaded into its library's cache if it was not there.

        Raises:
            WeightsError: If it is not on disk and cannot be fetched.
        """
        found = self.find()
        if found is not None:
            return found
        require([self])
        try:
            return self._download()
        except Exception as error:  # the hub's client has an exception tree of its own
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            raise WeightsError(
                f"the {self.kind} of {self.name} could not be fetched from {self.origin}: "
                f"{_first_line(error)}. {self.ways_on}"
            ) from error

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
            except LocalEntryNotFoundError:  # the hub fell silent: no other name will help
                raise
            except EntryNotFoundError:
                continue
        return Path(hf_hub_download(self.repository, self.files[-1], **place))


def require(wanted: Sequence[PublishedWeights]) -> None:
    """Check that all the weights are on disk or that their hosts answer, within seconds.

    Raises:
        WeightsError: If some are missing and their host does not answer; names all of them.
    """
    missing = [weights for weights in wanted if weights.find() is None]
    silent = _silent({_host(weights) for weights in missing})
    lost = [weights for weights in missing if _host(weights) in silent]
    if not lost:
        return
    names = ", ".join(f"{weights.name} ({weights.origin})" for weights in lost)
    hosts = " and ".join(
        f"{urlsplit(host).netloc or host} ({reason})" for host, reason in sorted(silent.items())
    )
    raise WeightsError(
        f"these {lost[0].kind} are not on this machine and {hosts} cannot be reached: {names}. "
        f"{lost[0].ways_on}"
    )


def cache_folders() -> dict[str, Path]:
    """Return where each library keeps what it fetched: torch's hub, and the Hugging Face hub's.

    Raises:
        ImportError: If one of the libraries is not installed or broken.
    """
    from huggingface_hub import constants

    return {"torch hub": _url_folder(), "Hugging Face": Path(constants.HF_HUB_CACHE)}


def read_ahead(file: Path) -> None:
    """Ask the system to read a file into its cache, beside what else is done.

    It takes none of the process's memory. Where the system cannot be asked, nothing happens.
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


def _silent(hosts: Iterable[str]) -> dict[str, str]:
    """Return the hosts that do not answer, and why, in at most `PROBE_SECONDS` for all."""
    findings: dict[str, str] = {}
    # Looking a name up has no time limit of its own, so it happens beside the clock.
    probes = [threading.Thread(target=_probe, args=(host, findings), daemon=True) for host in hosts]
    for probe in probes:
        probe.start()
    deadline = time.monotonic() + PROBE_SECONDS
    for probe in probes:
        probe.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {PROBE_SECONDS:g} s"
    return {host: reason for host in hosts if (reason := findings.get(host, late))}


def _probe(host: str, findings: dict[str, str]) -> None:
    """Note why a host does not answer, an empty reason if it does; proxies are respected."""
    findings |= {host: _refusal(host)}


def _refusal(host: str) -> str:
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
            return ""  # so it answers, and the hub's client brings certificates of its own
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

"""Models of the Hugging Face hub, through its own cache: `hf:org/name`, or a plain `org/name`.

The environment is read at call time (HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE), so that
a program or a test can change it after huggingface_hub was imported.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import ModelError, ModelNotFound, UnsafeWeights
from headstart.sources.backbone import Backbone, BackboneCard
from headstart.sources.cards import read_card
from headstart.sources.oneline import one_line
from headstart.sources.safety import PICKLE_ENDINGS, PREPROCESSING, find_weights

PREFIX = "hf:"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SAFE_FILES = (
    "config.json",
    *PREPROCESSING,
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "README.md",
    "LICEN[CS]E*",
    "NOTICE*",
)
PICKLE_FILES = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub; it lists what is in the local cache."""

    name: str = "hf"

    def list(self) -> list[BackboneCard]:
        cards = []
        for repository, folder in cached():
            try:
                cards.append(read_card(folder, id=PREFIX + repository, source=self.name))
            except ModelError:
                continue  # a cached model whose config cannot be read is none that can be used
        return cards

    def claims(self, id: str) -> bool:
        return id.startswith(PREFIX) or REPOSITORY.fullmatch(id) is not None

    def load(self, id: str, *, allow_pickle: bool = False) -> Backbone:
        from headstart.sources.folder import open_folder

        repository = id.removeprefix(PREFIX)
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
            raise ModelNotFound(
                f"{id!r} is no hub id; expected hf:org/name. For a folder write local:PATH."
            )
        folder = fetch(repository, allow_pickle=allow_pickle)
        return open_folder(folder, id=id, source=self.name, allow_pickle=allow_pickle)


def fetch(repository: str, *, allow_pickle: bool = False) -> Path:
    """Return the folder of a complete model: from the hub, or offline from the cache.

    A file that is in the cache is not fetched again, after an interruption neither.
    Raises ModelNotFound (no such model, or not to be had offline), UnsafeWeights (pickle only),
    ModelError (no weights, or an interrupted download).
    """
    if is_offline():
        return _from_cache(repository, "offline mode is on (HF_HUB_OFFLINE)")
    folder = _download(repository, SAFE_FILES)
    if _has_weights(folder):
        return folder
    pickles = [name for name in _names(repository) if name.endswith(PICKLE_ENDINGS)]
    if not pickles:
        raise ModelError(
            f"{repository} on {endpoint()} has no model.safetensors; choose another model."
        )
    if not allow_pickle:
        raise UnsafeWeights(
            f"{repository} on {endpoint()} has pickled weights only ({', '.join(pickles[:3])}), "
            "which can run code when read; choose a model with model.safetensors, or pass "
            "--allow-pickle if you trust it."
        )
    return _download(repository, (*SAFE_FILES, *PICKLE_FILES))


def endpoint() -> str:
    """Return the address of the hub, HF_ENDPOINT honoured."""
    from huggingface_hub import constants

    stated = os.environ.get("HF_ENDPOINT")
    return (stated or str(constants.ENDPOINT)).rstrip("/")


def cache_folder() -> Path:
    """Return the hub's cache, found as huggingface_hub finds it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.path.expandvars(os.environ[name])).expanduser()
    home = os.environ.get("HF_HOME") or str(
        Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids the network."""
    stated = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return stated.upper() in {"1", "ON", "YES", "TRUE"}


def cached() -> Iterator[tuple[str, Path]]:
    """Yield each model in the cache that is complete: its repository and its folder."""
    for path in sorted(cache_folder().glob("models--*")):
        repository = path.name.removeprefix("models--").replace("--", "/", 1)
        folder = cached_folder(repository)
        if folder is not None:
            yield repository, folder


def cached_folder(repository: str) -> Path | None:
    """Return the newest fetched state of `repository` if config and all weights are there."""
    path = cache_folder() / f"models--{repository.replace('/', '--')}"
    try:
        commit = (path / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    folder = path / "snapshots" / commit
    if not (commit and (folder / "config.json").is_file() and _has_weights(folder)):
        return None
    return folder


def _has_weights(folder: Path) -> bool:
    try:
        find_weights(folder, allow_pickle=True)
    except ModelError:
        return False
    return True


def _from_cache(repository: str, reason: str) -> Path:
    folder = cached_folder(repository)
    if folder is not None:
        return folder
    names = [f"hf:{name}" for name, _ in cached()]
    there = f"cached here: {', '.join(names[:8])}" if names else "no model is cached here"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    raise ModelNotFound(
        f"{repository} is not in the hub's cache {cache_folder()}, and {reason}; {there}{more}. "
        "Go online once to fetch it, or name a folder."
    )


def _download(repository: str, patterns: tuple[str, ...]) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        with _calm() as tqdm_class:
            folder = huggingface_hub.snapshot_download(
                repository,
                allow_patterns=list(patterns),
                cache_dir=cache_folder(),
                endpoint=endpoint(),
                tqdm_class=tqdm_class,
            )
        return Path(folder)
    except errors.GatedRepoError:
        raise ModelError(
            f"{repository} is gated: accept its terms on {endpoint()}, then run: hf auth login"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        raise ModelNotFound(
            f"There is no model {repository!r} on {endpoint()} (or it is private), "
            "and no folder of that name here. Check the spelling."
        ) from None
    except errors.HFValidationError as error:
        raise ModelNotFound(f"{repository!r} is no hub id: {one_line(error)}") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        return _from_cache(repository, f"{endpoint()} cannot be reached")
    except Exception as error:
        # The client lets httpx errors through, of more kinds than its documentation names.
        raise ModelError(
            f"The download of {repository} from {endpoint()} was interrupted: "
            f"{one_line(error)} What came whole stays in the cache; run again to fetch the rest."
        ) from error


def _names(repository: str) -> list[str]:
    from huggingface_hub import HfApi

    try:
        return list(HfApi(endpoint=endpoint()).list_repo_files(repository))
    except Exception as error:
        # As in _download: whatever the client raises, the files could not be listed.
        raise ModelError(
            f"The files of {repository} on {endpoint()} cannot be listed: {one_line(error)}"
        ) from error


@contextmanager
def _calm() -> Iterator[Any]:
    """Silence the client's log; give a progress bar that shows itself on a terminal only."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils import tqdm as hub_tqdm

    class Bar(hub_tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            if not sys.stderr.isatty():
                settings["disable"] = True
            super().__init__(*args, **settings)

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield Bar
    finally:
        logging.set_verbosity(verbosity)


HUB = Hub()

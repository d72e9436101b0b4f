"""Pretrained weights: what they are, whether they are here, and what they are the digest of. Nothing is fetched here.

They lie in a folder of their own under the home folder, where ``larpbench fetch`` puts them, or where some other
program has put them: the cache of the Hugging Face hub, or a folder that the original code uses.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larpbench import storage
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest, digest_file

MANIFEST = "weights.json"
"""Beside the files that were fetched: where each comes from, its size and its digest."""
MODEL = ("config.json", "model.safetensors|model-*-of-*.safetensors|pytorch_model.bin|pytorch_model-*-of-*.bin")
"""What a folder of transformers must hold."""
TOKENIZER = "tokenizer.json|vocab.txt|vocab.json|*.model"
"""What a model that reads text must have besides."""
BESIDE_MODEL = (
    *("model.safetensors.index.json", "pytorch_model.bin.index.json", "preprocessor_config.json"),
    *("processor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model"),
)
"""What it may hold besides that counts: the settings of the front end, and the tokenizer."""
_DIGESTS = "digests.json"


@dataclass(frozen=True)
class WeightFile:
    """One file that has an address of its own.

    Attributes:
        name: Its name in the folder.
        url: Its address.
        size: Bytes; None if nobody has said.
        sha256: Its digest; None if nobody has said: then it is recorded when it is fetched.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of one checkpoint: files with addresses, or those of a model of the Hugging Face hub.

    Attributes:
        name: Of the checkpoint; several encoders may share it.
        licence: Of the weights.
        size: Rough number of bytes in all.
        files: Files with addresses; empty for a model of the hub.
        repo: Name of the model on the hub, such as ``laion/clap-htsat-unfused``.
        revision: Branch, tag or commit of it.
        required: Names that must be there, with ``*``, and with ``|`` between alternatives, the best first.
        besides: Names that count where they are there.
        elsewhere: Folders in which other programs keep the same files; ``~`` and ``$NAME`` are expanded.
    """

    name: str
    licence: str
    size: int
    files: tuple[WeightFile, ...] = ()
    repo: str | None = None
    revision: str = "main"
    required: tuple[str, ...] = MODEL
    besides: tuple[str, ...] = BESIDE_MODEL
    elsewhere: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where they come from, for messages."""
        return f"{self.repo} of the Hugging Face hub" if self.repo else ", ".join(file.url for file in self.files)

    @property
    def size_text(self) -> str:
        """How large they are, for messages."""
        return f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"

    def folder(self) -> Path:
        """Return where `larpbench fetch` puts them."""
        return weights_root() / storage.slug(self.name)

    def chosen(self, names: Iterable[str]) -> list[str] | None:
        """Return those of a folder's file names that belong to the weights, sorted; None if some are missing."""
        names = list(names)
        if self.files:
            wanted = [file.name for file in self.files]
            return sorted(wanted) if set(wanted) <= set(names) else None
        found: set[str] = set()
        for pattern in self.required:
            matches = (fnmatch.filter(names, each) for each in pattern.split("|"))
            first = next((each for each in matches if each), None)
            if first is None:
                return None
            found.update(first)
        for pattern in self.besides:
            found.update(fnmatch.filter(names, pattern))
        return sorted(found)

    def found(self) -> Path | None:
        """Return the folder that has them: the fetched one, else the hub's cache or another one; None if none has.

        Uses no network and imports nothing heavy.
        """
        fetched = self.folder()
        if _complete(fetched) and self._in(fetched):
            return fetched
        return next((folder for folder in self._others() if self._in(folder)), None)

    def require(self) -> Path:
        """Return the folder that has them.

        Raises:
            MissingPartError: If none has.
        """
        folder = self.found()
        if folder is None:
            raise MissingPartError(
                f"the weights {self.name!r} are not here", where=str(self.folder()), next_step="larpbench fetch ENCODER"
            )
        return folder

    def digest(self) -> str:
        """Return the digest of the files that count, wherever they lie.

        Raises:
            MissingPartError: If they are not here.
        """
        folder = self.require()
        names = self._in(folder) or []
        return digest(dict(zip(names, digests([folder / name for name in names]), strict=True)))

    def _in(self, folder: Path) -> list[str] | None:
        return self.chosen(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else None

    def _others(self) -> Iterable[Path]:
        for place in self.elsewhere:
            if "$" not in (expanded := os.path.expandvars(place)):
                yield Path(expanded).expanduser()
        if self.repo and (cached := _cached(self.repo, self.revision)):
            yield cached


def weights_root() -> Path:
    """Return the folder of all fetched weights."""
    return storage.home() / "weights"


def digests(paths: Iterable[Path]) -> list[str]:
    """Return the sha256 of files, remembered from run to run while size and time stay as they are."""
    memory = weights_root() / _DIGESTS
    storage.sweep(memory.parent)
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found: list[str] = []
    fresh: dict[str, list[Any]] = {}
    for path in paths:
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        entry = known.get(str(path.absolute())) if isinstance(known, dict) else None
        if not (isinstance(entry, list) and entry[:2] == mark):
            entry = fresh[str(path.absolute())] = [*mark, digest_file(path)]
        found.append(entry[2])
    if fresh:
        storage.write_text(memory, json.dumps(known | fresh, indent=2) + "\n")
    return found


def _complete(folder: Path) -> bool:
    """Whether a fetched folder holds what its manifest says; one without a manifest was filled by hand."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == facts["size"] for name, facts in files.items())
    except FileNotFoundError:
        return not (folder / MANIFEST).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _cached(repo: str, revision: str) -> Path | None:
    """Return the folder of a model in the hub's cache, without asking the hub."""
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}").is_dir():
        return None  # the import below takes longer than all the rest of `larpbench list`
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(repo, "config.json", revision=revision)
    except HFValidationError:  # no name that the hub could have
        return None
    return Path(path).parent if isinstance(path, str) else None

"""Pretrained weights: what they are, whether they are here, and their digest. Nothing is fetched here.

They lie in a folder of their own under the home folder, where ``larpbench fetch`` puts them, or where some other
program has put them: the cache of the Hugging Face hub, or a folder that the original code uses. Initial weights of
towers (`weight_files`) may be any file or folder besides.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from larpbench import storage
from larpbench.downloads import HUB
from larpbench.encoders.weights.revisions import require_unchanged
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
BERT_NAMES = ("bert-base-uncased", "google-bert/bert-base-uncased")
"""Both names of the same checkpoint."""
_TENSORS = ("model.safetensors", "model-*.safetensors", "*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
_DIGESTS, _REVISIONS = "digests.json", "revisions.json"


@dataclass(frozen=True)
class WeightFile:
    """One file that has an address of its own.

    Attributes:
        name: Its name in the folder.
        url: Its address.
        size: Bytes; None if unknown.
        sha256: Its digest; None if unknown: then it is recorded when the file is fetched.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None

    @classmethod
    def of_hub(
        cls, repo: str, revision: str, name: str, folder: str = "", size: int | None = None, sha256: str | None = None
    ) -> Self:
        """Return a file of a repository of the Hugging Face hub at a commit, kept in a folder that ends in a slash."""
        return cls(f"{folder}{name}", f"{HUB}/{repo}/resolve/{revision}/{name}", size, sha256)


@dataclass(frozen=True)
class Weights:
    """The weights of one checkpoint: files with addresses, or those of a model of the Hugging Face hub.

    Attributes:
        name: Of the checkpoint; several encoders may share it.
        licence: Of the weights.
        size: Rough number of bytes in all; 0: not known before the hub is asked.
        files: Files with addresses; for a model of the hub, those of its files that count, if all of them are known.
        repo: Name of the model on the hub, such as ``laion/clap-htsat-unfused``.
        revision: Branch, tag or commit of it.
        required: Names that must be there, with ``*``, and with ``|`` between alternatives, the best first.
        besides: Names that count where they are there, patterns as in `required`.
        described: Names that are fetched where they are there, and do not count: the encoder's card says what they say.
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
    described: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def pinned(self) -> str | None:
        """The commit that they are fetched at; None: whatever the branch or the address has."""
        return self.revision if re.fullmatch("[0-9a-f]{40}", self.revision) else None

    @property
    def source(self) -> str:
        """Where they come from, for messages."""
        pinned = "" if self.revision == "main" else f", revision {self.revision}"
        return (
            f"{self.repo} of the Hugging Face hub{pinned}" if self.repo else ", ".join(file.url for file in self.files)
        )

    @property
    def size_text(self) -> str:
        """How large they are, for messages."""
        if not self.size:
            return "of unknown size"
        return f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"

    def folder(self) -> Path:
        """Return where `larpbench fetch` puts them."""
        return weights_root() / storage.slug(self.name)

    def chosen(self, names: Iterable[str]) -> list[str] | None:
        """Return those of a folder's file names that belong to the weights, sorted; None if some are missing.

        Names are paths in the folder, of which a part before a slash is a folder of its own.
        """
        return self._chosen(names, self.besides)

    def wanted(self, names: Iterable[str]) -> list[str] | None:
        """Return those that are fetched: `chosen` ones, and those that the card describes."""
        return self._chosen(names, (*self.besides, *self.described))

    def _chosen(self, names: Iterable[str], besides: Iterable[str]) -> list[str] | None:
        names = list(names)
        if self.files:
            wanted = [file.name for file in self.files]
            return sorted(wanted) if set(wanted) <= set(names) else None
        chosen: set[str] = set()
        for pattern in self.required:
            if not (first := _first(names, pattern)):
                return None
            chosen.update(first)
        for pattern in besides:
            chosen.update(_first(names, pattern))
        return sorted(chosen)

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

    def bytes_in(self, folder: Path) -> int:
        """Return the size of the files that count in a folder that has them."""
        return sum((folder / name).stat().st_size for name in self._in(folder) or ())

    def digest(self) -> str:
        """Return the digest of the files that count, wherever they lie.

        Raises:
            MissingPartError: If they are not here.
            DataError: If a file has changed under its revision.
        """
        folder = self.require()
        names = self._in(folder) or []
        found = dict(zip(names, digests([folder / name for name in names]), strict=True))
        self.require_unchanged(found, self.commit(folder), folder)
        return digest(found)

    def commit(self, folder: Path) -> str | None:
        """Return the commit that a folder of a model of the hub holds; None if the folder does not say."""
        if folder.parent.name == "snapshots":  # the hub's cache
            return folder.name
        found = _manifest(folder).get("commit")
        return found if isinstance(found, str) else None

    def require_unchanged(
        self, found: Mapping[str, str], commit: str | None, where: Path | str, record: bool = True
    ) -> None:
        """Refuse files that are not those of their revision, as larpbench knows them or as they were first used.

        Args:
            found: Name -> sha256 of files.
            commit: Commit of the model of the hub that they are of; None if unknown.
            where: Where they lie, for the message.
            record: Whether to record those that are used for the first time.

        Raises:
            DataError: If a file has changed.
        """
        files = {file.name: file for file in self.files}
        fetched = where == self.folder()
        manifest = _manifest(self.folder()) if fetched else {}
        stored = manifest.get("files", {}) if manifest.get("commit") == commit else {}
        known: dict[str, tuple[str, str]] = {}
        for name, sha256 in found.items():
            expected = files[name].sha256 if name in files else None
            if self.repo and commit:
                known_by = f"{self.repo}@{commit}/{name}"
            elif name in files and (fetched or expected):
                known_by = files[name].url
            else:
                continue  # put there by hand, or by another program
            known[known_by] = (sha256, expected or stored.get(name, {}).get("sha256") or "")
        require_unchanged(weights_root() / _REVISIONS, known, where, record)

    def _in(self, folder: Path) -> list[str] | None:
        if not folder.is_dir():
            return None
        nested = any("/" in each for each in (*self.besides, *(file.name for file in self.files)))
        paths = [*folder.iterdir(), *(folder.glob("*/*") if nested else ())]
        return self.chosen(path.relative_to(folder).as_posix() for path in paths if path.is_file())

    def _others(self) -> Iterable[Path]:
        for place in self.elsewhere:
            if "$" not in (expanded := os.path.expandvars(place)):
                yield Path(expanded).expanduser()
        for revision in dict.fromkeys((self.revision, "main")) if self.repo else ():
            if cached := _cached(self.repo or "", revision):
                yield cached


def _first(names: Iterable[str], pattern: str) -> list[str]:
    """Return the names that the first alternative matches which matches any."""
    names = list(names)
    for each in pattern.split("|"):
        if found := [name for name in fnmatch.filter(names, each) if name.count("/") == each.count("/")]:
            return found
    return []


def weights_root() -> Path:
    """Return the folder of all fetched weights."""
    return storage.home() / "weights"


def digests(paths: Iterable[Path]) -> list[str]:
    """Return the sha256 of files, remembered from run to run while size and time stay as they are."""
    memory = weights_root() / _DIGESTS
    storage.sweep(memory.parent)
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    values: list[str] = []
    fresh: dict[str, list[Any]] = {}
    for path in paths:
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        entry = stored.get(str(path.absolute())) if isinstance(stored, dict) else None
        if not (isinstance(entry, list) and entry[:2] == mark):
            entry = fresh[str(path.absolute())] = [*mark, digest_file(path)]
        values.append(entry[2])
    if fresh:
        storage.write_text(memory, json.dumps(stored | fresh, indent=2) + "\n")
    return values


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a fetched folder; empty if it has none that can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _complete(folder: Path) -> bool:
    """Whether a fetched folder holds what its manifest lists; one without a manifest was filled by hand."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == facts["size"] for name, facts in files.items())
    except FileNotFoundError:
        return not (folder / MANIFEST).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _cached(repo: str, revision: str = "main") -> Path | None:
    """Return the folder of a model in the hub's cache, without asking the hub."""
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}").is_dir():
        return None  # the import below takes longer than all the rest of `larpbench list`
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:  # without patterns it would refuse a model of which only some files were downloaded
        return Path(snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=[]))
    except (LocalEntryNotFoundError, HFValidationError):  # none, or no name that the hub could have
        return None


def checkpoint_folder(name: str) -> Path | None:
    """Return a folder itself, or where ``larpbench fetch`` or the hub's cache has that checkpoint; None if none has."""
    if Path(name).is_dir():
        return Path(name)
    fetched = Weights(name.rpartition("/")[2].replace("_", "-"), licence="", size=0).found()
    aliases = BERT_NAMES if name in BERT_NAMES else (name,)
    return fetched or next((folder for each in aliases if (folder := _cached(each))), None)


def weight_files(name: str) -> list[Path]:
    """Return the files of a checkpoint, shards in order.

    Args:
        name: A file or folder, or the name of a checkpoint that was fetched or is in the hub's cache.

    Raises:
        MissingPartError: If the checkpoint is not here.
    """
    if Path(name).is_file():
        return [Path(name)]
    folder = checkpoint_folder(name)
    matches = [sorted(folder.glob(pattern)) for pattern in _TENSORS] if folder else []
    files = next((each for each in matches if each), None)
    if files is None:
        raise MissingPartError(
            f"the initial weights {name!r} are not here: neither a folder or file, nor in the hub cache",
            where=str(folder) if folder else None,
            allowed="random, a folder with model.safetensors or pytorch_model.bin, or a name in the cache",
            next_step=download_command(name),
        )
    return files


def download_command(name: str) -> str:
    """Return what brings a checkpoint into the hub cache, if it can be the name of one."""
    return f"hf download {name}" if re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) else "name a folder that is there"

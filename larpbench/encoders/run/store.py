"""The embedding store: every vector is computed once, kept by its key, and is still there after a kill.

Vectors that lie in a file already (`EncoderSpec.in_place`) are looked up there; nothing of them is written. Nor is
anything of an encoder without a key (`EncoderSpec.unkeyed`): its vectors stay in memory.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Container, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from larpbench import storage
from larpbench.datasets.schema import Dataset, Split, SplitName
from larpbench.encoders.encoder import EncodeContext, Rows
from larpbench.encoders.run.folder import described, missing_shards, sweep
from larpbench.encoders.run.in_place import LookedUp
from larpbench.encoders.run.jobs import Job
from larpbench.encoders.run.keys import Keys, scaled_on, selection_splits
from larpbench.encoders.run.passes import Take, encode_parts
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.scaling import needed, oddities, require_tracks, scaled
from larpbench.encoders.run.shards import Shard, StoredRows
from larpbench.encoders.run.sharing import Patience, ShardCounts, claims_for, encode_all, encode_free
from larpbench.encoders.run.speed import SpeedClock, read_speed, write_speed
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import EmbeddingError, LarpbenchError
from larpbench.fingerprint import digest_array
from larpbench.mapped import empty_rows
from larpbench.runtime import Cost
from larpbench.vectors import permuted

TEXT_SHARD = 4_096
AUDIO_SHARD = 256


@dataclass(frozen=True)
class StoredEmbeddings:
    """The vectors of one split.

    Attributes:
        vectors: (n, dim) float32, in the order of the split's tracks.
        key: Digest of all that they depend on.
        cost: What it took to compute them, possibly in an earlier run.
        warnings: What is odd about them.
    """

    vectors: np.ndarray
    key: str
    cost: Cost
    warnings: tuple[str, ...]


class EmbeddingStore:
    """Embeddings under a folder, by key.

    Args:
        root: The folder of embeddings.
        checkpoints: The folder of trained encoders' weights; default beside it.
        wait: Seconds to wait in all for vectors that other processes are encoding; None: as long as these are alive.
        remote: A remote store, of which the root holds copies.
    """

    def __init__(
        self, root: Path, checkpoints: Path | None = None, *, wait: float | None = None, remote: Remote | None = None
    ) -> None:
        self.root, self.remote = root, remote
        self.patience = Patience(wait)
        self.keys = Keys()
        self.checkpoints = checkpoints or root.parent / "checkpoints"
        self.best_layers: dict[str, int] = {}  # by the key of the choice
        self.written: Counter[str] = Counter()  # shards that this object has encoded, by the key of the embeddings
        self._looked_up = LookedUp(self.keys)
        self._in_memory: dict[str, tuple[np.ndarray, Cost]] = {}
        self._keyed: list[tuple[object, EncoderSpec]] = []

    def folder(self, spec: EncoderSpec, key: str) -> Path:
        """Return the folder of an encoder's vectors, given their key."""
        return self.root / storage.slug(spec.card.name) / key

    def checkpoint(self, spec: EncoderSpec, seed: int) -> Path:
        """Return the folder of a trained encoder's weights, whether it is there or not."""
        return self.checkpoints / storage.slug(spec.card.name) / self.keys.checkpoint(spec, seed)

    def context(self, spec: EncoderSpec, dataset: Dataset, seed: int) -> EncodeContext:
        """Return what the encoder may know when it is built."""
        return EncodeContext(seed, dataset.folder, self.checkpoint(spec, seed) if spec.training else None)

    def missing_tracks(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> int:
        """Return how many tracks have to be encoded to have the vectors of a split."""
        if spec.in_place:
            return 0
        if spec.choice:
            places = (*selection_splits(dataset), split)
            counts = [[self.missing_tracks(each, dataset, place, seed) for place in places] for each in spec.inputs]
            return sum(map(max, zip(*counts, strict=True)))  # all layers in one pass
        if spec.shuffled:
            return self.missing_tracks(spec.inputs[0], dataset, split, spec.seed_of_inputs(seed))
        return sum(self.missing_tracks_of(spec, data, each, seed) for data, each in needed(spec, dataset, split))

    def missing_tracks_of(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> int:
        """Return how many tracks of a split, and of no other, have no vector yet as the encoder gives it."""
        shards = self._shards(spec, dataset, split, seed)
        return sum(len(shards[number]) for number in self.missing_numbers(spec, dataset, split, seed))

    def missing_numbers(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> list[int]:
        """Return which shards of a split, from 0, are not there, or not what they should be by their headers."""
        if self.keys.embedding(spec, dataset, split, seed) in self._in_memory:
            return []
        shards = self._shards(spec, dataset, split, seed)
        lacking = [number for number, each in enumerate(shards) if not each.path.is_file() or each.misplaced()]
        elsewhere = self.remote.names(shards[0].path.parent) if self.remote and lacking else ()
        return [number for number in lacking if shards[number].path.name not in elsewhere]

    def speed(self, spec: EncoderSpec) -> float | None:
        """Return the tracks per second of this encoder's last run here, None if it never ran."""
        return read_speed(self.root / storage.slug(spec.card.name))

    def encode_in_memory(
        self, spec: EncoderSpec, dataset: Dataset, split_names: Iterable[SplitName], seeds: Iterable[int]
    ) -> EncoderSpec:
        """Encode splits with what no key describes, and keep the vectors in memory as long as this store lives.

        Args:
            spec: An encoder that is `unkeyed`, or builds upon one.
            dataset: The data set.
            split_names: Splits whose vectors will be read.
            seeds: Seeds of the run.

        Returns:
            The encoder with the digests of its vectors as keys; one that is not `unkeyed`, and whose inputs are not, as
            it was.

        Raises:
            EmbeddingError: If it gives no usable vectors; and whatever its code raises.
        """
        scale: tuple[SplitName, ...] = ("train",) if spec.scales_on_train else ()
        split_names, seeds = tuple(dict.fromkeys((*split_names, *scale))), tuple(seeds)
        inputs = tuple(self.encode_in_memory(each, dataset, split_names, seeds) for each in spec.inputs)
        if any(one is not other for one, other in zip(inputs, spec.inputs, strict=True)):
            spec = replace(spec, inputs=inputs)
        if not spec.unkeyed:
            return spec
        call = (spec.factory, spec.card, dataset.manifest.fingerprint, split_names, seeds)
        if known := next((each for earlier, each in self._keyed if earlier == call), None):
            return replace(known, label=spec.label, centred=spec.centred)  # it is also a part of another encoder
        found: dict[tuple[int, SplitName], tuple[np.ndarray, Cost]] = {}
        for seed in seeds if spec.card.stochastic else (0,):
            for name in split_names:
                if len(dataset.split(name).track_ids):
                    found[seed, name] = self._gathered(spec, dataset, dataset.split(name), seed)
        digests = {where: digest_array(vectors) for where, (vectors, _) in found.items()}
        draws = int(spec.card.stochastic)
        keyed = replace(spec, unkeyed=False, given=lambda name, seed: digests[draws * seed, name])
        for (seed, name), vectors in found.items():
            self._in_memory[self.keys.embedding(keyed, dataset, dataset.split(name), seed)] = vectors
        self._keyed.append((call, keyed))
        return keyed

    def embed(self, spec: EncoderSpec, dataset: Dataset, split_name: SplitName, seed: int) -> StoredEmbeddings:
        """Return the vectors of a split: looked up, or computed and kept where shards of them are missing.

        Raises:
            EmbeddingError: If the encoder gives a wrong shape, or NaN, infinite or all-zero rows; ids are named, and
                nothing of that shard is kept.
            DataError: If an audio file is gone or was changed, a file of vectors changes while it is read, or there are
                no train tracks to centre on.
            StorageError: If the store cannot be written or read.
        """
        split = dataset.split(split_name)
        if spec.shuffled:
            found = self.embed(spec.inputs[0], dataset, split_name, spec.seed_of_inputs(seed))
            key = self.keys.scaled(spec, dataset, split, seed)
            return replace(found, vectors=permuted(found.vectors, key), key=key)
        self._looked_up.keep_only(spec)
        if spec.centred:
            spec.require_train_tracks(dataset)
        key = self.keys.scaled(spec, dataset, split, seed)
        vectors, cost = self._raw(spec, dataset, split, seed)
        warnings = oddities(vectors)
        if spec.scales_on_train:
            reference = vectors
            if scale := scaled_on(spec, dataset, split):
                reference, train_cost = self._raw(spec, *scale, seed)
                cost = Cost(cost.wall_s + train_cost.wall_s, cost.cpu_s + train_cost.cpu_s)
            elif split.name != "train" and spec.card.standardised:
                warnings += ("standardised on the tested tracks themselves, since there are no train tracks",)
            vectors = scaled(spec, vectors, reference)
        return StoredEmbeddings(vectors, key, cost, warnings)

    def rows(self, spec: EncoderSpec, dataset: Dataset, split_name: SplitName, seed: int) -> Rows:
        """Return the vectors of a split for training: in memory, or read on demand if the card marks them as large."""
        if not spec.card.large or spec.centred:
            return self.embed(spec, dataset, split_name, seed).vectors
        return StoredRows(self._complete(spec, dataset, dataset.split(split_name), seed))

    def _raw(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> tuple[np.ndarray, Cost]:
        if spec.choice:
            return self._raw(self._best_of(spec, dataset, seed), dataset, split, seed)
        if spec.in_place:
            return self._looked_up.vectors(spec, self.context(spec, dataset, seed), dataset, split)
        if found := self._in_memory.get(self.keys.embedding(spec, dataset, split, seed)):
            return found
        shards = self._complete(spec, dataset, split, seed)
        # Filled shard by shard: a list of parts would take the memory twice.
        vectors = empty_rows(len(split.track_ids), shards[0].dim)
        wall = cpu = 0.0
        for shard in shards:
            vectors[shard.start : shard.stop], cost = shard.read()
            wall, cpu = wall + cost.wall_s, cpu + cost.cpu_s
        return vectors, Cost(wall, cpu)

    def _best_of(self, spec: EncoderSpec, dataset: Dataset, seed: int) -> EncoderSpec:
        chosen = self.best_layers.get(self.keys.choice(spec, dataset, seed))
        if chosen is None:
            raise EmbeddingError(
                f"the best layer of {spec.identity!r} is not known yet",
                next_step="larpbench.tasks.layers.choose_layers",
            )
        return spec.inputs[chosen]

    def _gathered(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> tuple[np.ndarray, Cost]:
        """Return the vectors of a split, computed and checked part by part, and stored nowhere."""
        total = len(split.track_ids)
        require_tracks(dataset, split, total)
        size = AUDIO_SHARD if spec.reads_audio else TEXT_SHARD
        parts = [range(start, min(start + size, total)) for start in range(0, total, size)]
        vectors = np.empty((0, 0), dtype=np.float32)
        wall = cpu = 0.0
        job = self._job(spec, dataset, split, seed, parts, spec.card.dim)
        with contextlib.closing(self._encoded(split, [job])) as encoded:
            for _, part, block, cost in encoded:
                if not part.start:
                    vectors = empty_rows(total, block.shape[1])
                vectors[part.start : part.stop] = block
                wall, cpu = wall + cost.wall_s, cpu + cost.cpu_s
        return vectors, Cost(wall, cpu)

    def _shards(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> list[Shard]:
        key = self.keys.embedding(spec, dataset, split, seed)
        folder = self.folder(spec, key)
        total, size = len(split.track_ids), AUDIO_SHARD if spec.reads_audio else TEXT_SHARD
        return [
            Shard(folder / f"shard-{start // size:06d}.safetensors", key, start, min(start + size, total))
            for start in range(0, total, size)
        ]

    def _complete(self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int) -> list[Shard]:
        """Encode what is missing or cannot be trusted, and return the shards: one at least."""
        shards = self._shards(spec, dataset, split, seed)
        require_tracks(dataset, split, len(shards))
        self.encode_shards(spec, dataset, split, seed, range(len(shards)))
        return shards

    def encode_shards(
        self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int, numbers: Container[int]
    ) -> ShardCounts:
        """Encode those shards of a split that are missing or cannot be trusted, and wait for those that others encode.

        Any number of processes and machines may do so at once: each shard is encoded by one of them, unless that one
        dies, and the vectors are the same to the bit whoever encodes which.

        Args:
            spec: An encoder whose vectors are stored: neither `in_place` nor `unkeyed`, nor a choice among others.
            dataset: The data set.
            split: Its split.
            seed: The seed.
            numbers: Which shards: the first is 0.

        Returns:
            How many were encoded here, were there or came from others, and do not belong to `numbers`.

        Raises:
            EmbeddingError: If the encoder gives no usable vectors.
            DataError: If an audio file is gone or was changed.
            StorageError: If the store cannot be written or read.
            WaitError: If others take longer than the store waits.
        """
        shards = self._shards(spec, dataset, split, seed)
        chosen = [shard for number, shard in enumerate(shards) if number in numbers]
        if not chosen:
            return ShardCounts(0, 0, len(shards))
        missing, encoded = self._missing(spec, split, shards, chosen), 0
        if missing:
            job_of = partial(self._job_of, spec, dataset, split, seed, shards)
            encode, what = partial(self._encoded, split), f"{spec.identity} ({split.name})"
            encoded = encode_all(encode, job_of, missing, self.remote, self.patience, what)
            self.written[shards[0].key] += encoded
            sweep(shards[0].path.parent)
        return ShardCounts(encoded, len(chosen) - encoded, len(shards) - len(chosen))

    def encode_together(
        self,
        encoders: Sequence[tuple[EncoderSpec, int]],
        dataset: Dataset,
        split: Split,
        numbers: Container[int] | None = None,
    ) -> dict[str, BaseException]:
        """Encode what is missing of several encoders in one pass over a split's tracks: each file is decoded once.

        Vectors, keys and files are those that each encoder alone would have; after a kill, only what is missing of each
        is encoded. What other processes are encoding is left to them. Where fewer than two lack anything, nothing
        happens.

        Args:
            encoders: Encoders, each with its seed, that can share a pass: of one sample rate, without inputs, and all
                with processes or all without.
            dataset: The data set.
            split: Its split.
            numbers: Which shards; None: all.

        Returns:
            Identity -> why an encoder failed; the others have gone on.

        Raises:
            DataError: If an audio file is gone, was changed or cannot be decoded.
            StorageError: If the store cannot be written or read.
        """
        jobs: dict[Job, list[Shard]] = {}
        failed: dict[str, BaseException] = {}
        for spec, seed in encoders:
            shards = self._shards(spec, dataset, split, seed)
            chosen = [shard for number, shard in enumerate(shards) if numbers is None or number in numbers]
            if missing := self._missing(spec, split, shards, chosen):
                try:
                    jobs[self._job_of(spec, dataset, split, seed, shards, missing)] = missing
                except (LarpbenchError, OSError) as error:
                    failed[spec.identity] = error
        if len(jobs) > 1:
            for job in jobs:
                job.alone = False
            with claims_for(self.remote) as claims:
                done = encode_free(partial(self._encoded, split), jobs, claims, self.remote)
            self.written.update(shard.key for shards in done.values() for shard in shards)
            failed |= {job.spec.identity: job.failed for job in jobs if job.failed is not None}
        return failed

    def _missing(self, spec: EncoderSpec, split: Split, shards: list[Shard], chosen: list[Shard]) -> list[Shard]:
        """Return those of the chosen shards that neither store has."""
        folder = storage.make_folder(shards[0].path.parent)
        sent = self.remote.synchronise(chosen) if self.remote and chosen else False
        missing = missing_shards(spec, split, shards, chosen)
        if self.remote and (missing or sent):
            self.remote.send(*described(folder))
        return missing

    def _job_of(
        self,
        spec: EncoderSpec,
        dataset: Dataset,
        split: Split,
        seed: int,
        shards: list[Shard],
        missing: Sequence[Shard],
    ) -> Job:
        lacking = {*missing}
        sound = next((shard for shard in shards if shard not in lacking and shard.is_sound()), None)
        parts = [range(shard.start, shard.stop) for shard in missing]
        return self._job(spec, dataset, split, seed, parts, sound.dim if sound else spec.card.dim)

    def _job(
        self, spec: EncoderSpec, dataset: Dataset, split: Split, seed: int, parts: Sequence[range], dim: int | None
    ) -> Job:
        if spec.check:
            spec.check(spec.argument, dataset, [split.name])
        inputs = tuple(self.embed(each, dataset, split.name, seed).vectors for each in spec.inputs)
        return Job(spec, self.context(spec, dataset, seed), spec.source or dataset, parts, inputs, dim)

    def _encoded(
        self, split: Split, jobs: Sequence[Job], take: Take = lambda job, part: True
    ) -> Generator[tuple[Job, range, np.ndarray, Cost]]:
        """Yield the vectors of parts of a split's tracks, checked, and what they took; then keep how fast it was."""
        clocks = {job: SpeedClock() for job in jobs}
        # Processes that begin at one place would ask a remote store for the same claims.
        first = secrets.randbelow(len(split.track_ids)) if self.remote else 0
        yield from encode_parts(jobs, split, clocks, take, first)
        for job, clock in clocks.items():
            if clock.tracks and not (job.spec.in_place or job.spec.unkeyed or job.failed):
                write_speed(self.root / storage.slug(job.spec.card.name), clock)

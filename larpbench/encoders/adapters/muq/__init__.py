"""MuQ (Zhu et al. 2025) and MusicFM (Won et al. 2024): one design, published by two groups, at any layer.

Both packages need torchaudio and an older transformers. None of that is needed here: the conformer is that of
transformers, and what stands before it is written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larpbench.encoders.adapters.muq.mulan import MUQ_MULAN
from larpbench.encoders.adapters.muq.reference import MUQ_REFERENCE, MUSICFM_FMA_REFERENCE, MUSICFM_MSD_REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.layers import TAKES, LayerName, Readout, over_layers, read_layers
from larpbench.encoders.pooling import width_of
from larpbench.encoders.precision import BFLOAT16
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights
from larpbench.errors import UsageError

if TYPE_CHECKING:
    from larpbench.encoders.adapters.muq.checkpoint import Checkpoint

NAMES = ("muq", "muq-mulan", "musicfm-fma", "musicfm-msd")
__all__ = ["MUQ", "MUQ_MULAN", "MUSICFM_FMA", "MUSICFM_MSD"]

_WIDTH = 1_024
LAST = 12
"""Hidden states: 0 is what enters the first of 12 layers, 12 what the last one gives."""
_WINDOWS = ", then over windows of 30 s, the last of which ends with the clip"
_VERIFICATION = (
    "the {} run with transformers 4.57 and torchaudio, published layout with all layers, narrow, made-up "
    "weights: largest difference {} of a vector's length, in every layer"
)
_MSD = ("aotm", "lfm", "mpd")


def bind_layer(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of layers, such as ``muq@6``, ``muq@mean`` or ``muq@6:pool=max``.

    Raises:
        UsageError: If there is no such layer, or something else is asked for.
    """
    encoder = spec.card.name
    if argument.rpartition(":")[2] == BFLOAT16:
        raise UsageError(
            f"{encoder} computes in float32 only: in bfloat16 its vectors are others",
            where=f"{encoder}{argument}",
            allowed=f"{encoder}, or {encoder}@0 to {encoder}@{LAST}",
        )
    name = _read(argument, encoder)
    if name.choice:
        return over_layers(spec, name, bind_layer, LAST)
    readout = name.readout(LAST, LAST, encoder)
    facts = {"pooling": _pooling(readout), "dim": width_of(readout.pooling, _WIDTH)}
    return replace(spec, card=spec.card.model_copy(update=facts), argument=name.written)


def readout_of(argument: str | None, encoder: str) -> Readout:
    """Return what an argument such as ``@6`` takes of the model; the last layer if there is none."""
    return Readout(LAST, LAST) if argument is None else _read(argument, encoder).readout(LAST, LAST, encoder)


def _read(argument: str, encoder: str) -> LayerName:
    name = read_layers(argument, encoder)
    if name.model:
        raise UsageError(
            f"{encoder} has no layer {argument.removeprefix('@')!r}",
            where=f"{encoder}{argument}",
            allowed=f"{encoder}@LAYER:pool=HOW",
        )
    return name


def _pooling(readout: Readout) -> str:
    windows = _WINDOWS if readout.pooling == "mean" else _WINDOWS.replace("then over", "then the mean over")
    return readout.text(LAST) + windows


def build_muq(context: EncodeContext, argument: str | None) -> Encoder:
    """Return MuQ at a layer, with the fetched weights."""
    from larpbench.encoders.adapters.muq.checkpoint import read_muq

    return _build("muq", context, argument, read_muq)


def build_musicfm(data: str, context: EncodeContext, argument: str | None) -> Encoder:
    """Return MusicFM at a layer, with the fetched weights that were trained on `data`, ``fma`` or ``msd``."""
    from larpbench.encoders.adapters.muq.checkpoint import read_musicfm

    return _build(
        f"musicfm-{data}",
        context,
        argument,
        lambda folder: read_musicfm(*(folder / name for name in musicfm_files(data))),
    )


def _build(encoder: str, context: EncodeContext, argument: str | None, read: Callable[[Path], Checkpoint]) -> Encoder:
    from larpbench.encoders.adapters.muq.encoder import Conformer
    from larpbench.encoders.layered import LayeredEncoder, shared_model
    from larpbench.runtime import torch_device

    folder, device = context.weights_folder, torch_device()
    shared = shared_model(folder, device, lambda: Conformer(read(folder), device))
    return LayeredEncoder(encoder, shared, readout_of(argument, encoder))


def musicfm_files(data: str) -> tuple[str, str]:
    """Return the names of the files of weights and of statistics."""
    return f"pretrained_{data}.pt", f"{data}_stats.json"


def _of_hub(name: str, licence: str, repo: str, commit: str, *files: tuple[str, int, str]) -> Weights:
    """Return the weights of a model of the hub at a commit; of each file name, bytes and sha256."""
    listed = [WeightFile.of_hub(repo, commit, file, size=size, sha256=sha256) for file, size, sha256 in files]
    return Weights(name, licence, sum(size for _, size, _ in files), tuple(listed), repo, commit)


def _card(**facts: Any) -> EncoderCard:  # noqa: ANN401 - fields of a card
    return EncoderCard(
        version=1,
        modalities=("audio",),
        dim=_WIDTH,
        sample_rate=24_000,
        window_s=30.0,
        pooling=_pooling(Readout(LAST, LAST)),
        tracks_per_second=0.27,
        **facts,
    )


def _musicfm(data: str, training_data: str, overlaps: tuple[str, ...], *files: tuple[str, int, str]) -> EncoderSpec:
    return EncoderSpec(
        _card(
            name=f"musicfm-{data}",
            summary=f"MusicFM (Won et al. 2024), {data.upper()}",
            weights=f"pretrained: minzwon/MusicFM, {data.upper()}",
            licence="MIT, MIT",
            training_data=f"{training_data}: audio only",
            overlaps=overlaps,
            paper="Won et al. 2024, A Foundation Model for Music Informatics",
            original="MusicFM25Hz of musicfm",
            parameters=328_932_480,
            citation=("won2024musicfm",),
            verification=_VERIFICATION.format(
                "inference of the class MusicFM25Hz, with those of its modules that muq 0.1.0 holds,", "2e-7"
            ),
        ),
        factory=partial(build_musicfm, data),
        reference={"fma": MUSICFM_FMA_REFERENCE, "msd": MUSICFM_MSD_REFERENCE}[data],
        requires=("transformers",),
        takes=f"[{TAKES}]",
        binder=bind_layer,
        model=f"musicfm-{data}",
        weights=_of_hub(
            f"musicfm-{data}", "MIT", "minzwon/MusicFM", "4513b38bc25ad1d227b1980819b9691ba97f4d87", *files
        ),
    )


MUQ = EncoderSpec(
    _card(
        name="muq",
        summary="MuQ-large (Zhu et al. 2025)",
        weights="pretrained: OpenMuQ/MuQ-large-msd-iter",
        licence="MIT, CC-BY-NC-4.0",
        training_data="the Million Song Dataset: audio only",
        overlaps=_MSD,
        paper="Zhu et al. 2025, MuQ: Self-Supervised Music Representation Learning with Mel Residual Vector "
        "Quantization",
        original="muq 0.1.0",
        parameters=333_401_472,
        citation=("zhu2025muq",),
        verification=_VERIFICATION.format("package called literally and", "2e-6"),
    ),
    factory=build_muq,
    reference=MUQ_REFERENCE,
    requires=("transformers",),
    takes=f"[{TAKES}]",
    binder=bind_layer,
    model="muq",
    weights=_of_hub(
        "muq-large-msd-iter",
        "CC-BY-NC-4.0",
        "OpenMuQ/MuQ-large-msd-iter",
        "0562a57814f6f8bbd9fdea0a25921a2fce1a841a",
        ("config.json", 3_133, "237335ee27d8fb951ce778701a12a79e06c51ae636dd786f97e45f51ce532543"),
        ("model.safetensors", 1_333_825_096, "273febab2be02872c37d2c37e48a9d6c52c1c9392f3eeeabd498efa281ccb7a6"),
    ),
)
MUSICFM_FMA = _musicfm(
    "fma",
    "FMA-large, 8,000 hours of the Free Music Archive",
    (),
    ("fma_stats.json", 2_281, "5416e468018bae68c6231d4cbb2b11f0d11c04e6437881505ae427a3f8344904"),
    ("pretrained_fma.pt", 1_316_802_154, "68392eee13d34c2941b3761934abb6b1e67b2e9df498695bda2ea5c1087d4b96"),
)
MUSICFM_MSD = _musicfm(
    "msd",
    "the Million Song Dataset",
    _MSD,
    ("msd_stats.json", 2_277, "c36c61ab10ca4d2e7fdfefc3fcc15205316bec276a06a47baa3641a62c546f22"),
    ("pretrained_msd.pt", 1_316_802_088, "218b483a0256ddef736267425fabb166fd97008983696bb9270def464b47bded"),
)

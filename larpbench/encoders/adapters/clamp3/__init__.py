"""CLaMP 3 (Wu et al. 2025): audio and text in many languages in one space, its audio side on top of MERT."""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.adapters.clamp3.files import CHECKPOINT, MERT_FOLDER, SAMPLE_RATE
from larpbench.encoders.adapters.clamp3.reference import REFERENCE
from larpbench.encoders.card import VIEWS, EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.towers.xlm_r import xlm_r_files
from larpbench.encoders.weights.finder import WeightFile, Weights

NAMES = ("clamp3",)

_REVISION = "791815a04a3a2bd9ab64cf590ba8307930c179e6"
_MERT = "m-a-p/MERT-v1-95M", "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5"
_PARAMETERS = {"audio": 180_118_912, "text": 278_043_648}  # without the part for sheet music
_OF_TEXT = "mean over tokens, projected, of length 1; more than 128 tokens in parts"
_OF_AUDIO = (
    "each window of 5 s: MERT's 13 hidden states, mean over layers and time; a transformer over the windows, mean, "
    "projected, of length 1"
)


def bind_clamp3(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return one side, such as ``clamp3:audio``.

    Raises:
        UsageError: If something else is asked for.
    """
    (view,) = parse_variant(spec, argument, VIEWS)
    if view is None:
        return spec
    pooling = {"audio": _OF_AUDIO, "text": _OF_TEXT}[view]
    facts = {"modalities": (view,), "pooling": pooling, "parameters": _PARAMETERS[view]}
    if view == "text":
        facts |= {"sample_rate": None, "window_s": None}
    return replace(spec, card=spec.card.model_copy(update=facts))


def build_clamp3(context: EncodeContext, argument: str | None) -> Encoder:
    """Return CLaMP 3, or one side of it."""
    from larpbench.encoders.adapters.clamp3.encoder import load_clamp3

    return load_clamp3(context.weights_folder, audio=argument != "text", text=argument != "audio")


CLAMP3 = EncoderSpec(
    EncoderCard(
        name="clamp3",
        version=1,
        summary="CLaMP 3 (Wu et al. 2025), SAAS",
        modalities=("audio", "text"),
        dim=768,
        sample_rate=SAMPLE_RATE,
        window_s=5.0,
        pooling=f"mean of audio and text vector. Audio: {_OF_AUDIO}. Text: {_OF_TEXT}",
        weights="pretrained: sander-wood/clamp3, SAAS; m-a-p/MERT-v1-95M",
        licence="MIT, MIT; MERT: CC-BY-NC-4.0",
        training_data="M4-RAG: 2.31 million pairs of music (audio, sheet music or MIDI) and text from the web, in 27 "
        "languages; MERT: 20,000 hours of music from the internet; neither audio is published",
        paper="Wu et al. 2025, CLaMP 3: Universal Music Information Retrieval Across Unaligned Modalities and Unseen "
        "Languages",
        original="clamp3 02be2e3",
        verification="its scripts called with transformers 4.57, files read and spread otherwise; "
        "published layout, all layers of MERT, narrow, made-up weights: largest difference 4e-7 of a vector's length",
        parameters=sum(_PARAMETERS.values()),
        citation=("wu2025clamp3", "li2024mert"),
        tracks_per_second=0.4,
    ),
    factory=build_clamp3,
    reference=REFERENCE,
    requires=("transformers",),
    takes="[audio|text]",
    binder=bind_clamp3,
    weights=Weights(
        "clamp3-saas",
        licence="MIT; MERT: CC-BY-NC-4.0",
        size=2_957_700_000,
        revision=_REVISION,
        files=(
            WeightFile.of_hub(
                "sander-wood/clamp3",
                _REVISION,
                CHECKPOINT,
                size=2_571_027_658,
                sha256="5033f868e3977be3945ee416b5a1718d5589a173c7ba8982231d8c94a6441d80",
            ),
            *(
                WeightFile.of_hub(*_MERT, each, f"{MERT_FOLDER}/")
                for each in ("config.json", "preprocessor_config.json")
            ),
            WeightFile.of_hub(*_MERT, "pytorch_model.bin", f"{MERT_FOLDER}/", 377_552_987),
            *xlm_r_files(),
        ),
    ),
)

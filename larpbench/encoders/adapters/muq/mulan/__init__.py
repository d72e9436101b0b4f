"""MuQ-MuLan (Zhu et al. 2025): audio and text in one space, its audio side on top of MuQ."""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.adapters.muq.mulan.files import CONFIG, MUQ_FOLDER, WEIGHTS
from larpbench.encoders.adapters.muq.mulan.reference import REFERENCE
from larpbench.encoders.card import VIEWS, EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.towers.xlm_r import xlm_r_files
from larpbench.encoders.weights.finder import WeightFile, Weights

_OWN = "OpenMuQ/MuQ-MuLan-large", "8a081dbcf84edd47ea7db3c4ecb8fd1ec1ddacfe"
_MUQ = "OpenMuQ/MuQ-large-msd-iter", "0562a57814f6f8bbd9fdea0a25921a2fce1a841a"
_PARAMETERS = {"audio": 317_524_224, "text": 328_191_744}  # what a vector depends on
_OF_AUDIO = (
    "each window of 10 s: MuQ's last hidden state, projected, mean over time, projected, of length 1; then the mean "
    "over windows, the last of which goes on with the beginning of the clip"
)
_OF_TEXT = "XLM-R, 8 layers of attention, mean over tokens, projected, of length 1; cut after 512 tokens"


def bind_mulan(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return one side, such as ``muq-mulan:audio``.

    Raises:
        UsageError: If something else is asked for.
    """
    (view,) = parse_variant(spec, argument, VIEWS)
    if view is None:
        return spec
    pooling = {"audio": _OF_AUDIO, "text": _OF_TEXT}[view]
    facts = {"modalities": (view,), "pooling": pooling, "parameters": _PARAMETERS[view]}
    facts |= {"sample_rate": None, "window_s": None} if view == "text" else {"max_tokens": None}
    return replace(spec, card=spec.card.model_copy(update=facts))


def build_mulan(context: EncodeContext, argument: str | None) -> Encoder:
    """Return MuQ-MuLan, or one side of it."""
    from larpbench.encoders.adapters.muq.mulan.encoder import load_mulan

    return load_mulan(context.weights_folder, audio=argument != "text", text=argument != "audio")


MUQ_MULAN = EncoderSpec(
    EncoderCard(
        name="muq-mulan",
        version=1,
        summary="MuQ-MuLan-large (Zhu et al. 2025)",
        modalities=("audio", "text"),
        dim=512,
        sample_rate=24_000,
        window_s=10.0,
        max_tokens=512,
        pooling=f"mean of audio and text vector. Audio: {_OF_AUDIO}. Text: {_OF_TEXT}",
        weights="pretrained: OpenMuQ/MuQ-MuLan-large",
        licence="MIT, CC-BY-NC-4.0",
        training_data="MuQ: the Million Song Dataset, audio only; the pairs of music and text, in English and "
        "Chinese, are not published",
        overlaps=("aotm", "lfm", "mpd"),
        paper="Zhu et al. 2025, MuQ: Self-Supervised Music Representation Learning with Mel Residual Vector "
        "Quantization",
        original="muq 0.1.0",
        verification="the package called literally, one caption at a time, with transformers 4.57 and torchaudio; "
        "published layout and depths but for XLM-R's, narrow, made-up weights: largest difference 3e-6 of a "
        "vector's length",
        parameters=sum(_PARAMETERS.values()),
        citation=("zhu2025muq",),
        tracks_per_second=0.27,
    ),
    factory=build_mulan,
    reference=REFERENCE,
    requires=("transformers",),
    takes="[audio|text]",
    binder=bind_mulan,
    weights=Weights(
        "muq-mulan-large",
        licence="CC-BY-NC-4.0",
        size=2_663_100_000,
        revision=_OWN[1],
        files=(
            WeightFile.of_hub(*_OWN, CONFIG),
            WeightFile.of_hub(
                *_OWN,
                WEIGHTS,
                size=2_653_954_401,
                sha256="d42ae3f7cb9b66759ee0089ddc70e2f28b130c2d8ba621457358272d32dd0444",
            ),
            WeightFile.of_hub(
                *_MUQ,
                CONFIG,
                f"{MUQ_FOLDER}/",
                3_133,
                "237335ee27d8fb951ce778701a12a79e06c51ae636dd786f97e45f51ce532543",
            ),
            *xlm_r_files(),
        ),
    ),
)

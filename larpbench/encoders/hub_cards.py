"""What is known of the encoders out of transformers before anything heavy is imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, TOKENIZER, Weights
from larpbench.errors import UsageError

_TEXT_FILES = (*MODEL, TOKENIZER)
_CLAP_FILES = (*_TEXT_FILES, "preprocessor_config.json")
_CLAP_PAPER = "Wu et al. 2023, Large-scale contrastive language-audio pretraining"
_AUDIO_DIFFERENCE = "largest difference 2e-5 of a vector's length, from the spectrogram in float32 for float64"
_TEXT_PROOF = "transformers 5.23.0 on a tiny BERT with the same weights: largest difference 1e-7 of a vector's length"
VIEWS = ("audio", "text")
BFLOAT16 = "bf16"
"""Behind the colon: weights and arithmetic in bfloat16. Other vectors, so another name."""
_UNFUSED = Weights(
    "clap-htsat-unfused", "Apache-2.0", 615_000_000, repo="laion/clap-htsat-unfused", required=_CLAP_FILES
)
_LAION_AUDIO = "LAION-Audio-630K and AudioSet: sounds, speech and music with captions"


def _clap(name: str, weights: Weights, training_data: str, speed: float) -> EncoderSpec:
    return EncoderSpec(
        EncoderCard(
            name=name,
            version=1,
            summary=f"CLAP, {weights.repo}: audio and caption in one space",
            modalities=("audio", "text"),
            dim=512,
            sample_rate=48_000,
            window_s=10.0,
            pooling="mean of audio and text vector, each of length 1; audio: mean over windows of 10 s",
            weights=f"pretrained: {weights.repo}",
            licence=f"Apache-2.0, {weights.licence}",
            training_data=training_data,
            paper=_CLAP_PAPER,
            original="transformers: ClapFeatureExtractor, ClapModel.get_audio_features and get_text_features",
            proof=f"transformers 5.23.0 on a tiny checkpoint with the same weights: {_AUDIO_DIFFERENCE}",
            tracks_per_second=speed,
        ),
        factory="larpbench.encoders.adapters.clap:build_clap",
        requires=("transformers",),
        weights=weights,
        takes="[audio|text][:bf16]",
        binder="larpbench.encoders.hub_cards:bind_clap",
        golden="larpbench.encoders.references.clap:CLAP",
    )


def bind_clap(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the view and the precision that a name asks for, such as ``audio`` or ``text:bf16``.

    Raises:
        UsageError: If it asks for something else.
    """
    parts = argument.split(":")
    view = next((each for each in VIEWS if each == parts[0]), None)
    bfloat16 = in_bfloat16(argument)
    if len(parts) != (view is not None) + bfloat16:
        raise UsageError(
            f"encoder {spec.card.name!r} has no view {argument!r}", allowed=f"{spec.card.name}[:audio|:text][:bf16]"
        )
    changes: dict[str, object] = {}
    if view:
        changes = {"modalities": (view,), "pooling": f"the {view} vector alone, of length 1"}
    if view == "audio":
        changes["pooling"] = "mean over windows of 10 s of vectors of length 1, scaled to length 1"
    return _in_precision(replace(spec, card=spec.card.model_copy(update=changes)), bfloat16)


def bind_precision(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the precision that its name asks for.

    Raises:
        UsageError: If it asks for something else.
    """
    if argument != BFLOAT16:
        raise UsageError(f"encoder {spec.card.name!r} has no {argument!r}", allowed=f"{spec.card.name}[:bf16]")
    return _in_precision(spec, bfloat16=True)


def bind_text(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder of a text model: of the hub by its name, or in a folder."""
    name = argument.removesuffix(f":{BFLOAT16}")
    folder = Path(name).expanduser()
    if folder.is_dir():
        weights = Weights(
            str(folder.absolute()), "that of the folder", 0, elsewhere=(str(folder),), required=_TEXT_FILES
        )
    else:
        weights = Weights(name, f"see huggingface.co/{name}", 500_000_000, repo=name, required=_TEXT_FILES)
    card = spec.card.model_copy(update={"summary": f"captions through {name}", "weights": f"pretrained: {name}"})
    return _in_precision(replace(spec, card=card, weights=weights), bfloat16=name != argument)


def in_bfloat16(argument: str | None) -> bool:
    """Return whether what follows the colon of a name ends in ``bf16``."""
    return (argument or "").split(":")[-1] == BFLOAT16


def _in_precision(spec: EncoderSpec, bfloat16: bool) -> EncoderSpec:
    if not bfloat16:
        return spec
    return replace(spec, card=spec.card.model_copy(update={"weights": f"{spec.card.weights}, in bfloat16"}))


CLAP_PT = _clap("clap-pt", _UNFUSED, _LAION_AUDIO, 5.0)
CLAP_MUSIC = _clap(
    "clap-music",
    Weights("larger-clap-music", "Apache-2.0", 776_000_000, repo="laion/larger_clap_music", required=_CLAP_FILES),
    f"music of unpublished source; {_LAION_AUDIO}",
    1.5,
)
CLAP_MUSIC_SPEECH = _clap(
    "clap-music-speech",
    Weights(
        "larger-clap-music-and-speech",
        "Apache-2.0",
        776_000_000,
        repo="laion/larger_clap_music_and_speech",
        required=_CLAP_FILES,
    ),
    f"music and speech of unpublished source; {_LAION_AUDIO}",
    1.5,
)
HTSAT = EncoderSpec(
    EncoderCard(
        name="htsat",
        version=1,
        summary="HTS-AT, the audio tower of laion/clap-htsat-unfused, before the projection",
        modalities=("audio",),
        dim=768,
        sample_rate=48_000,
        window_s=10.0,
        pooling="mean over windows of 10 s of the tower's pooled output",
        weights="pretrained: laion/clap-htsat-unfused, audio tower",
        licence="Apache-2.0, Apache-2.0",
        training_data=_LAION_AUDIO,
        paper="Chen et al. 2022, HTS-AT; Wu et al. 2023, Large-scale contrastive language-audio pretraining",
        original="transformers: ClapFeatureExtractor and ClapModel.audio_model",
        proof=f"transformers 5.23.0 on a tiny checkpoint with the same weights: {_AUDIO_DIFFERENCE}",
        tracks_per_second=5.0,
    ),
    factory="larpbench.encoders.adapters.clap:build_htsat",
    requires=("transformers",),
    weights=_UNFUSED,
    takes="[bf16]",
    binder="larpbench.encoders.hub_cards:bind_precision",
    golden="larpbench.encoders.references.clap:HTSAT",
)
CLAP_RANDOM = EncoderSpec(
    EncoderCard(
        name="clap-random",
        version=1,
        summary="the audio tower of CLAP as it is before training: what the architecture alone can hear",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=10.0,
        pooling="mean over windows of 10 s of vectors of length 1, scaled to length 1",
        weights="random",
        licence="Apache-2.0",
        paper=_CLAP_PAPER,
        stochastic=True,
        control=True,
        tracks_per_second=5.0,
    ),
    factory="larpbench.encoders.adapters.clap:build_clap_random",
    requires=("transformers",),
    only_by_name=True,
)
BERT = EncoderSpec(
    EncoderCard(
        name="bert",
        version=1,
        summary="BERT (base, uncased) of the caption",
        modalities=("text",),
        dim=768,
        pooling="mean over tokens, scaled to length 1",
        weights="pretrained: google-bert/bert-base-uncased",
        licence="Apache-2.0, Apache-2.0",
        training_data="BooksCorpus and English Wikipedia",
        paper="Devlin et al. 2019, BERT",
        original="transformers: AutoTokenizer and BertModel, mean of last_hidden_state over the attention mask",
        proof=_TEXT_PROOF,
        tracks_per_second=40,
    ),
    factory="larpbench.encoders.adapters.text:build_text",
    requires=("transformers",),
    weights=Weights(
        "bert-base-uncased", "Apache-2.0", 441_000_000, repo="google-bert/bert-base-uncased", required=_TEXT_FILES
    ),
    takes="[bf16]",
    binder="larpbench.encoders.hub_cards:bind_precision",
    golden="larpbench.encoders.references.text:TEXT",
)
TEXT = EncoderSpec(
    EncoderCard(
        name="text",
        version=1,
        summary="captions through a text model: its name on the Hugging Face hub, or its folder",
        modalities=("text",),
        dim=None,
        pooling="mean over tokens, scaled to length 1",
        weights="pretrained: the model that is named",
        licence="Apache-2.0, that of the model",
        training_data="unknown",
        original="transformers: AutoTokenizer and AutoModel, mean of last_hidden_state over the attention mask",
        proof=_TEXT_PROOF,
        tracks_per_second=40,
    ),
    factory="larpbench.encoders.adapters.text:build_text",
    requires=("transformers",),
    takes="HF_NAME[:bf16]",
    binder="larpbench.encoders.hub_cards:bind_text",
    golden="larpbench.encoders.references.text:TEXT",
)

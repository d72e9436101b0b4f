"""The specs of encoders that other packages compute, or whose weights somebody else has published as files."""

from __future__ import annotations

from larpbench.encoders.adapters.essentia_tf import essentia_tf_digest, without_tensorflow
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights

_OF_THE_MODEL = "that of the model"
_JUKEBOX = "https://openaipublic.azureedge.net/jukebox/models/5b/"
_LAION = "https://huggingface.co/lukewys/laion_clap/resolve/main/"
_OPENL3 = "https://github.com/torchopenl3/torchopenl3-models/raw/master/"

ESSENTIA = EncoderSpec(
    EncoderCard(
        name="essentia",
        version=1,
        summary="2,547 low-level descriptors of timbre, harmony and rhythm, as in AcousticBrainz (Essentia)",
        modalities=("audio",),
        dim=2_547,
        sample_rate=44_100,
        pooling="nine statistics over frames, covariances of MFCC and GFCC; then sign(x) log(1 + |x|)",
        weights="none",
        licence="AGPL-3.0",
        paper="Bogdanov et al. 2013, Essentia; Porter et al. 2015, AcousticBrainz",
        original="MusicExtractor of essentia 2.1b6.dev1389",
        proof="MusicExtractor called on a file of the same clip: no difference",
        standardised=True,
        process_per_core=True,
        tracks_per_second=2.5,
    ),
    factory="larpbench.encoders.adapters.essentia:build_essentia",
    golden="larpbench.encoders.references.essentia:ESSENTIA",
    requires=("essentia",),
    extra="essentia",
)
ESSENTIA_TF = EncoderSpec(
    EncoderCard(
        name="essentia-tf",
        version=1,
        summary="a network that Essentia has published: MODEL.pb, with MODEL.json beside it",
        modalities=("audio",),
        dim=None,
        pooling="mean over patches",
        weights="those of the file",
        licence=f"AGPL-3.0, {_OF_THE_MODEL} (Essentia's own: CC-BY-NC-SA-4.0)",
        training_data="that of the model",
        paper="Alonso-Jiménez et al. 2020, TensorFlow audio models in Essentia",
        original="the TensorflowPredict algorithms of essentia-tensorflow 2.1b6.dev1389",
        tracks_per_second=2,
    ),
    factory="larpbench.encoders.adapters.essentia_tf:build_essentia_tf",
    requires=("essentia",),
    extra="essentia-tf",
    incompatible=without_tensorflow,
    takes="MODEL.pb",
    digest=essentia_tf_digest,
    binder="larpbench.encoders.adapters.essentia_tf:bind_essentia_tf",
)
MULE = EncoderSpec(
    EncoderCard(
        name="mule",
        version=1,
        summary="MULE: a network that tells which windows are of the same recording",
        modalities=("audio",),
        dim=1_728,
        sample_rate=16_000,
        window_s=3.0,
        pooling="mean over windows of 3 s, one every 2 s",
        weights="pretrained: matteospanio/mule (converted from the published ones)",
        licence="GPL-3.0, CC-BY-NC-4.0",
        training_data="Musicset (SiriusXM and Pandora): music, audio only",
        paper="McCallum et al. 2022, Supervised and Unsupervised Learning of Audio Representations for Music "
        "Understanding",
        original="mule-torch 0.2.0",
        proof="the package called literally, random weights, narrow and of true shape: 6e-8 of a vector's length",
        tracks_per_second=0.8,
    ),
    factory="larpbench.encoders.adapters.mule:build_mule",
    golden="larpbench.encoders.references.mule:MULE",
    requires=("mule_torch",),
    extra="mule",
    weights=Weights(
        "mule",
        licence="CC-BY-NC-4.0",
        size=267_000_000,
        repo="matteospanio/mule",
        required=("config.json", "model.safetensors"),
        besides=(),
        elsewhere=("$MULE_TORCH_DIR",),
    ),
)
JUKEBOX = EncoderSpec(
    EncoderCard(
        name="jukebox",
        version=1,
        summary="Jukebox: layer 36 of the 5-billion prior over the codes of its VQ-VAE",
        modalities=("audio",),
        dim=4_800,
        sample_rate=44_100,
        window_s=23.8,
        pooling="mean over time of the first 23.8 s",
        weights="pretrained: 5b (vqvae, prior_level_2)",
        licence="MIT, OpenAI's non-commercial licence",
        training_data="1.2 million songs of the web, audio and metadata",
        paper="Dhariwal et al. 2020, Jukebox; Castellon et al. 2021, Codified Audio Language Modeling Learns Useful "
        "Representations for Music Information Retrieval",
        original="jukebox-infer 0.1.2",
        proof="the package's forward on the CPU, true VQ-VAE, prior of width 64, random weights: 4e-8 of a vector's "
        "length",
        tracks_per_second=0.005,
    ),
    factory="larpbench.encoders.adapters.jukebox:build_jukebox",
    golden="larpbench.encoders.references.jukebox:JUKEBOX",
    requires=("jukebox_infer",),
    extra="jukebox",
    weights=Weights(
        "jukebox-5b",
        licence="OpenAI's non-commercial licence",
        size=10_300_000_000,
        files=(
            WeightFile("vqvae.pth.tar", f"{_JUKEBOX}vqvae.pth.tar"),
            WeightFile("prior_level_2.pth.tar", f"{_JUKEBOX}prior_level_2.pth.tar"),
        ),
        elsewhere=("~/.cache/jukebox/models/5b", "~/.cache/jukemirlib"),
    ),
)
OPENL3 = EncoderSpec(
    EncoderCard(
        name="openl3",
        version=1,
        summary="OpenL3: what sound and picture of music videos have in common",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=1.0,
        pooling="mean over windows of 1 s, side by side",
        weights="pretrained: mel256, music, 512 (torchopenl3)",
        licence="MIT, CC-BY-4.0",
        training_data="music videos of AudioSet: sound and picture",
        paper="Cramer et al. 2019, Look, Listen and Learn More: Design Choices for Deep Audio Embeddings",
        original="torchopenl3 1.0.1",
        proof="the package called literally, true shape, random weights: no difference",
        tracks_per_second=0.3,
    ),
    factory="larpbench.encoders.adapters.openl3:build_openl3",
    golden="larpbench.encoders.references.openl3:OPENL3",
    requires=("torchopenl3", "pkg_resources"),
    extra="openl3",
    weights=Weights(
        "openl3-music-mel256-512",
        licence="CC-BY-4.0",
        size=37_000_000,
        files=(WeightFile("torchopenl3_mel256_music_512.pth.tar", f"{_OPENL3}torchopenl3_mel256_music_512.pth.tar"),),
        elsewhere=("~/.cache/torch/hub/checkpoints",),
    ),
)
LAION_CLAP = EncoderSpec(
    EncoderCard(
        name="laion-clap",
        version=1,
        summary="LAION's own checkpoint of CLAP for music, audio side",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=10.0,
        pooling="mean over windows of 10 s, scaled to length 1",
        weights="pretrained: music_audioset_epoch_15_esc_90.14.pt",
        licence="Apache-2.0, CC0-1.0",
        training_data="music, AudioSet and LAION-Audio-630K: audio and captions",
        paper="Wu et al. 2023, Large-scale Contrastive Language-Audio Pretraining",
        original="laion-clap 1.1.7",
        proof="the package's audio branch called literally, smaller tower, random weights: 4e-6 of a vector's length",
        tracks_per_second=0.3,
    ),
    factory="larpbench.encoders.adapters.laion_clap:build_laion_clap",
    golden="larpbench.encoders.references.laion_clap:LAION_CLAP",
    requires=("transformers",),
    versions=("torch>=2.6",),
    weights=Weights(
        "laion-clap-music",
        licence="CC0-1.0",
        size=2_350_000_000,
        files=(WeightFile("music_audioset_epoch_15_esc_90.14.pt", f"{_LAION}music_audioset_epoch_15_esc_90.14.pt"),),
    ),
)
HF_AUDIO = EncoderSpec(
    EncoderCard(
        name="hf-audio",
        version=1,
        summary="any HuBERT, MERT-v0, wav2vec 2.0 or EnCodec of the Hugging Face hub, at a layer: HF_NAME@LAYER",
        modalities=("audio",),
        dim=None,
        pooling="mean over time of a layer's hidden states",
        weights="those of the checkpoint",
        licence=f"Apache-2.0, {_OF_THE_MODEL}",
        training_data="that of the checkpoint",
        original="AutoModel of transformers 5.23.0",
        proof="transformers called literally, small configurations, random weights: 3e-7 of a vector's length",
        tracks_per_second=0.3,
    ),
    factory="larpbench.encoders.adapters.hf_audio:build_hf_audio",
    golden="larpbench.encoders.references.hf_audio:HUBERT",
    requires=("transformers",),
    takes="HF_NAME[@LAYER]",
    binder="larpbench.encoders.adapters.hf_audio:bind_hf_audio",
)

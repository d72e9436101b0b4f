"""Checkpoints of the published sizes with made-up weights, in the published layouts, for `encoder_costs.py`.

Names and shapes come from ``tests/fixtures`` where a family has a list of them, else from the published configuration
through transformers. The weights are normal noise of 0.02, those that scale are 1: the arithmetic is that of the real
ones. Tokenizers are of single bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from larpbench.encoders.reference import write_tokenizer

_FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
_SCALES = ("norm.weight", "norm1.weight", "norm2.weight", "gamma", "q_scale", "k_scale", "alpha", "running_var")
_XLM_R: dict[str, Any] = {
    "model_type": "xlm-roberta",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "vocab_size": 250_002,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
}
_BERT: dict[str, Any] = {"vocab_size": 30_522}  # all else as in transformers
_QWEN3: dict[str, Any] = {
    "vocab_size": 151_669,
    "hidden_size": 1_024,
    "intermediate_size": 3_072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32_768,
}
_PE_AUDIO = {  # hidden_size, num_hidden_layers, num_attention_heads, intermediate_size
    "small": (768, 12, 6, 2_048),
    "base": (1_024, 16, 8, 2_752),
    "large": (1_792, 28, 14, 4_800),
}
_LAION_AUDIO: dict[str, Any] = {"patch_embeds_hidden_size": 128, "hidden_size": 1_024, "depths": [2, 2, 12, 2]}


def shapes_of(fixture: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of a published checkpoint."""
    listed = json.loads((_FIXTURES / f"{fixture}.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in listed.items()}


def made_up(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return tensors of these shapes, float32."""
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(1)
        elif name.lower().endswith(_SCALES):
            found[name] = torch.ones(shape)
        else:
            found[name] = torch.empty(shape).normal_(0, 0.02)
    return found


def write_mert(size: str, folder: Path) -> None:
    """Write MERT-v1, ``95m`` or ``330m``."""
    from larpbench.encoders.adapters.hf_audio.mert_reference import EXTRACTOR, PUBLISHED, SIZES

    torch.save(made_up(shapes_of(f"mert/{size}")), folder / "pytorch_model.bin")
    _write(folder / "config.json", PUBLISHED | SIZES[size])
    _write(folder / "preprocessor_config.json", EXTRACTOR)


def write_muq(folder: Path) -> None:
    """Write MuQ-large-msd-iter."""
    from safetensors.torch import save_file

    save_file(_conformer(made_up(shapes_of("muq/muq")), "model."), folder / "model.safetensors", {"format": "pt"})
    _write(folder / "config.json", {"stat": _statistics()})


def write_musicfm(data: str, folder: Path) -> None:
    """Write MusicFM, of ``fma`` or ``msd``."""
    from larpbench.encoders.adapters.muq.front_end import mel_filters

    state = _conformer(made_up(shapes_of("muq/musicfm")), "model.")
    filters = next((name for name in state if name.endswith("mel_scale.fb")), None)
    if filters:
        state[filters] = mel_filters().T.contiguous()
    torch.save({"state_dict": state}, folder / f"pretrained_{data}.pt")
    _write(folder / f"{data}_stats.json", _statistics())


def write_mulan(folder: Path) -> None:
    """Write MuQ-MuLan-large."""
    sizes = {"dim": 768, "heads": 8, "dim_head": 64, "ff_mult": 4}
    config = {
        "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 512},
        "audio_model": {"model_dim": 1_024, "use_layer_idx": -1},
        "text_model": {"model_dim": None},
        "audio_transformer": {**sizes, "tf_depth": 0},
        "text_transformer": {**sizes, "tf_depth": 8},
    }
    state = _conformer(made_up(shapes_of("muq/mulan")), "mulan.audio.model.model.")
    torch.save(state, folder / "pytorch_model.bin")
    _write(folder / "config.json", config)
    _write(folder / "MuQ-large-msd-iter" / "config.json", {"stat": _statistics()})
    _write_xlm_r(folder / "xlm-roberta-base")


def write_clamp3(folder: Path) -> None:
    """Write CLaMP 3 with MERT."""
    from larpbench.encoders.adapters.clamp3.files import CHECKPOINT, MERT_FOLDER, TEXT_FOLDER

    torch.save({"model": made_up(shapes_of("clamp3/saas"))}, folder / CHECKPOINT)
    (folder / MERT_FOLDER).mkdir()
    write_mert("95m", folder / MERT_FOLDER)
    _write_xlm_r(folder / TEXT_FOLDER)


def write_pe_audio(size: str, folder: Path) -> None:
    """Write PE-A-Frame, ``small``, ``base`` or ``large``."""
    from safetensors.torch import save_file
    from transformers import PeAudioConfig, PeAudioFeatureExtractor

    width, depth, heads, inner = _PE_AUDIO[size]
    audio = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "intermediate_size": inner}
    text = {"model_type": "modernbert", "hidden_size": 1_024, "num_hidden_layers": 22, "num_attention_heads": 16}
    text |= {"intermediate_size": 2_624, "pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2}
    PeAudioConfig(text_config={**text, "sep_token_id": 2}, audio_config=audio).save_pretrained(folder)
    save_file(made_up(shapes_of(f"pe_audio/{size}")), folder / "model.safetensors", {"format": "pt"})
    PeAudioFeatureExtractor().save_pretrained(folder)
    write_tokenizer(folder)


def write_tower(folder: Path) -> None:
    """Write the audio tower of Qwen2-Audio, without a language model."""
    from safetensors.torch import save_file
    from transformers import Qwen2AudioEncoderConfig, WhisperFeatureExtractor

    Qwen2AudioEncoderConfig().save_pretrained(folder)
    shapes = {name.removeprefix("audio_tower."): shape for name, shape in shapes_of("audio_towers/tower").items()}
    save_file(made_up(shapes), folder / "model.safetensors", {"format": "pt"})
    WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)


def write_clap(large: bool, folder: Path) -> None:
    """Write CLAP of the hub, the unfused base or the larger one for music."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    audio = {"enable_fusion": False, **(_LAION_AUDIO if large else {})}
    write_tokenizer(folder)
    _write_model(ClapModel, ClapConfig(audio_config=audio), folder)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)


def write_laion_clap(folder: Path) -> None:
    """Write the audio branch of LAION's checkpoint for music."""
    from larpbench.encoders.adapters.laion_clap.encoder import DIM, WEIGHTS_FILE
    from larpbench.encoders.towers.audio_tower import AudioTower
    from larpbench.encoders.towers.initial_weights import published_facts
    from larpbench.encoders.towers.settings import SwinSettings

    with torch.device("meta"):
        tower = AudioTower(SwinSettings(width=128, depths=(2, 2, 12, 2), heads=(4, 8, 16, 32)))
    shapes = {f"audio_branch.{name}": facts.shape for name, facts in published_facts(tower).items()}
    for number, into in ((0, tower.width), (2, DIM)):
        shapes |= {
            f"audio_projection.{number}.weight": (DIM, into),
            f"audio_projection.{number}.bias": (DIM,),
        }
    torch.save({"state_dict": made_up(shapes)}, folder / WEIGHTS_FILE)


def write_mule(folder: Path) -> None:
    """Write MULE as its package makes it."""
    from mule_torch import MuleModel
    from mule_torch.config import MuleConfig

    MuleModel(MuleConfig()).save_pretrained(folder)


def write_text(kind: str, folder: Path) -> None:
    """Write a text model of the size of ``bert`` or ``qwen3``: bert-base-uncased or Qwen3-Embedding-0.6B."""
    from transformers import BertConfig, BertModel, Qwen3Config, Qwen3Model

    write_tokenizer(folder)
    if kind == "bert":
        _write_model(BertModel, BertConfig(**_BERT), folder)
    else:
        _write_model(Qwen3Model, Qwen3Config(**_QWEN3), folder)


def write_hubert(folder: Path) -> None:
    """Write a HuBERT of the size of hubert-base."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    _write_model(HubertModel, HubertConfig(), folder)
    Wav2Vec2FeatureExtractor(sampling_rate=16_000).save_pretrained(folder)


def write_openl3(folder: Path) -> None:
    """Write OpenL3, whose reference is of its true size."""
    from larpbench.encoders.adapters.openl3.reference import REFERENCE

    REFERENCE.write(folder)


WRITERS: dict[str, Callable[[Path], None]] = {
    "bert": partial(write_text, "bert"),
    "clamp3": write_clamp3,
    "clap-music": partial(write_clap, True),
    "clap-music-speech": partial(write_clap, True),
    "clap-pt": partial(write_clap, False),
    "htsat": partial(write_clap, False),
    "laion-clap": write_laion_clap,
    "mert-330m": partial(write_mert, "330m"),
    "mert-95m": partial(write_mert, "95m"),
    "mule": write_mule,
    "muq": write_muq,
    "muq-mulan": write_mulan,
    "musicfm-fma": partial(write_musicfm, "fma"),
    "musicfm-msd": partial(write_musicfm, "msd"),
    "openl3": write_openl3,
    "pe-audio": partial(write_pe_audio, "large"),
    "pe-audio-base": partial(write_pe_audio, "base"),
    "pe-audio-small": partial(write_pe_audio, "small"),
}
"""Of encoders with weights of their own, by name."""
EXAMPLES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "hf-audio": ("HuBERT base, 94 M parameters", write_hubert),
    "hf-audio (tower)": ("the tower of Qwen2-Audio, 637 M parameters", write_tower),
    "text": ("the size of Qwen3-Embedding-0.6B", partial(write_text, "qwen3")),
}
"""A model each of encoders that take any; what it is, and its writer. The first word names the encoder."""


def _conformer(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors with the rotary positions as they are computed."""
    name = f"{prefix}conformer.embed_positions.inv_freq"
    pairs = len(state[name])
    return state | {name: 10_000.0 ** -(torch.arange(pairs) / pairs)}


def _statistics() -> dict[str, float]:
    return {"melspec_2048_mean": 6.25, "melspec_2048_std": 18.5}


def _write_xlm_r(folder: Path) -> None:
    folder.mkdir()
    write_tokenizer(folder)
    _write(folder / "config.json", _XLM_R)


def _write_model(kind: Any, config: Any, folder: Path) -> None:
    kind(config).save_pretrained(folder)


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts), encoding="utf-8")

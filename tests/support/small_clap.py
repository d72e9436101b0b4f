"""A small CLAP as the hub holds it: weights of transformers' ClapModel, and a tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from support.small_baselines import TEXT
from support.small_larp import AUDIO
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import ClapConfig, ClapModel

from larpbench.encoders.baselines.settings import ClapSettings

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "song", "by", "the", "artist", "on", "album"]
SHAPE = ClapSettings(
    audio=AUDIO.model_copy(update={"drop_path": 0.0}),
    text=TEXT.model_copy(update={"vocabulary": 50, "padding": 1, "dropout": 0.0}),
    dim=16,
)


def write_clap(folder: Path, dim: int = 16) -> ClapModel:
    """Write a small CLAP of transformers, as its hub repository holds it; return the model."""
    torch.manual_seed(4)
    audio, text = SHAPE.audio, SHAPE.text
    config = ClapConfig(
        text_config={
            "vocab_size": text.vocabulary, "hidden_size": text.hidden, "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads, "intermediate_size": text.intermediate,
            "max_position_embeddings": text.positions,
        },
        audio_config={
            "window_size": audio.window, "num_mel_bins": audio.mel.n_mels, "spec_size": audio.spec_size,
            "patch_embeds_hidden_size": audio.width, "hidden_size": audio.width * 2, "depths": list(audio.depths),
            "num_attention_heads": list(audio.heads), "num_hidden_layers": 2, "enable_fusion": False,
        },
        projection_dim=dim,
    )  # fmt: skip
    model = ClapModel(config).eval()
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.1 * torch.randn_like(each))
        model.audio_model.audio_encoder.batch_norm.running_mean.normal_(-30, 5)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return model

"""CLAP against transformers' own, and checkpoints in its published layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_clap import SHAPE, write_clap
from support.small_larp import AUDIO

from larpbench.encoders.baselines.clap import Clap, load_pretrained, tokenizer_folder
from larpbench.encoders.baselines.settings import ClapRecipe
from larpbench.encoders.baselines.sizes import clap_ft
from larpbench.errors import DataError, MissingPartError
from larpbench.training.loop import count_parameters


def features_of(output):
    return torch.nn.functional.normalize(getattr(output, "pooler_output", output), dim=1)


def test_a_checkpoint_gives_the_features_of_transformers(tmp_path):
    theirs = write_clap(tmp_path)
    torch.manual_seed(0)
    ours = Clap(SHAPE).eval()
    matched = load_pretrained(ours, str(tmp_path))
    assert matched > 40
    mels = 10 * torch.randn(3, 100, AUDIO.mel.n_mels) - 30
    ids = torch.tensor([[0, 4, 5, 6, 2, 1], [0, 9, 2, 1, 1, 1], [0, 4, 4, 4, 4, 2]])
    mask = (ids != 1).long()
    with torch.inference_mode():
        audio = features_of(theirs.get_audio_features(input_features=mels[:, None], is_longer=torch.zeros(3, 1)))
        text = features_of(theirs.get_text_features(input_ids=ids, attention_mask=mask))
        np.testing.assert_allclose(ours.audio_features(mels), audio, atol=1e-5)
        np.testing.assert_allclose(ours.text_features(ids, mask), text, atol=1e-5)
    assert ours.temperature.item() == pytest.approx((-theirs.logit_scale_a).exp().item())


def test_what_larpbench_fetch_brought_is_found(home):
    folder = home / "weights" / "clap-htsat-unfused"
    folder.mkdir(parents=True)
    write_clap(folder)
    recipe = clap_ft("paper")
    assert load_pretrained(Clap(SHAPE), recipe.weights) > 40
    assert tokenizer_folder(recipe.weights) == folder


def test_checkpoints_of_another_size_kind_or_place(tmp_path):
    write_clap(tmp_path / "wide", dim=24)
    with pytest.raises(DataError, match="the checkpoint is of another size: 8 of"):
        load_pretrained(Clap(SHAPE), str(tmp_path / "wide"))
    model = write_clap(tmp_path / "audio")
    model.audio_model.save_pretrained(tmp_path / "audio-only")
    with pytest.raises(DataError, match=r"of the \d+ tensors of CLAP; missing: 'audio"):
        load_pretrained(Clap(SHAPE), str(tmp_path / "audio-only"))
    with pytest.raises(MissingPartError, match="'nobody/no-clap' are not here"):
        load_pretrained(Clap(SHAPE), "nobody/no-clap")


def test_the_papers_size():
    recipe = clap_ft("paper")
    assert isinstance(recipe, ClapRecipe)
    with torch.device("meta"):
        model = Clap(recipe.model)
    assert count_parameters(model) == pytest.approx(153.5e6, rel=0.01)  # laion/clap-htsat-unfused
    names = {name.partition(".")[0] for name, _ in model.named_parameters()}
    assert names == {"audio", "text", "audio_projection", "text_projection", "temperature"}

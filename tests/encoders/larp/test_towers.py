from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.settings import BertSettings, MelSettings, SwinSettings
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.errors import EmbeddingError, UsageError

SWIN = SwinSettings(
    mel=MelSettings(n_mels=16), width=8, depths=(2, 2), heads=(2, 4), window=4, spec_size=64, drop_path=0.3
)
BERT = BertSettings(vocabulary=50, hidden=32, layers=2, heads=4, intermediate=64, dropout=0.2, max_tokens=10)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def audio_case(**changes):
    torch.manual_seed(0)
    return AudioTower(SWIN.model_copy(update=changes)), (10 * torch.randn(7, 200, 16) - 30,)


def text_case(**changes):
    torch.manual_seed(0)
    ids = torch.randint(2, 50, (7, 10))
    mask = torch.ones_like(ids)
    mask[2, 4:] = 0
    return TextTower(BERT.model_copy(update=changes)), (ids, mask)


CASES = {"audio": audio_case, "text": text_case}
WITHOUT_DRAWS = {"audio": {"drop_path": 0.0}, "text": {"dropout": 0.0}}


def gradients(tower, inputs):
    """Of a loss in which every row's vector is weighted differently."""
    tower.zero_grad()
    torch.manual_seed(1)
    out = tower(*inputs)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), {name: each.grad.clone() for name, each in tower.named_parameters() if each.grad is not None}


def assert_same(first, second):
    torch.testing.assert_close(first[0], second[0], rtol=1e-4, atol=1e-5)
    assert first[1].keys() == second[1].keys()
    for name, gradient in first[1].items():
        torch.testing.assert_close(gradient, second[1][name], rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("side", CASES)
def test_shapes_and_evaluation_mode(side):
    tower, inputs = CASES[side]()
    tower.eval()
    with torch.inference_mode():
        out = tower(*inputs)
        assert out.shape == (7, tower.width)
        assert out.dtype == torch.float32
        assert torch.equal(tower(*inputs), out)
        tower.chunk = 3
        torch.testing.assert_close(tower(*inputs), out, rtol=1e-4, atol=1e-5)
    tower.train()
    assert not torch.equal(tower(*inputs), tower(*inputs))


@pytest.mark.parametrize("side", CASES)
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_give_the_gradient_of_the_whole_batch(side, chunk):
    # Draws inside the chunks would differ; SpecAugment and the statistics of the batch lie before them.
    tower, inputs = CASES[side](**WITHOUT_DRAWS[side])
    tower.train()
    whole = gradients(tower, inputs)
    if side == "audio":
        assert whole[1]["norm.weight"].abs().min() > 1e-4
        assert whole[1]["norm.bias"].abs().min() > 1e-4
    tower.chunk = chunk
    assert_same(gradients(tower, inputs), whole)


@pytest.mark.parametrize("side", CASES)
def test_recomputation_repeats_the_random_draws(side):
    tower, inputs = CASES[side]()
    tower.train()
    whole = gradients(tower, inputs)
    tower.chunk = 7  # one chunk: the draws are those of the whole batch
    assert_same(gradients(tower, inputs), whole)
    tower.chunk = 3
    chunked = gradients(tower, inputs)
    assert_same(gradients(tower, inputs), chunked)
    assert_same(gradients_without_recomputation(tower, inputs), chunked)
    assert not torch.allclose(chunked[0], whole[0])


def gradients_without_recomputation(tower, inputs):
    def run_parts(run, chunk, *given, ranks):
        return torch.cat([run(*part) for part in zip(*(torch.split(each, chunk) for each in given), strict=True)])

    with pytest.MonkeyPatch.context() as patch:
        for module in ("audio_tower", "text_tower"):
            patch.setattr(f"larpbench.encoders.towers.{module}.in_chunks", run_parts)
        return gradients(tower, inputs)


@pytest.mark.parametrize("side", CASES)
def test_chunks_keep_few_activations(side):
    tower, inputs = CASES[side]()
    tower.train()
    parameters = {each.data_ptr() for each in tower.parameters()}

    def kept():
        sizes = []

        def pack(tensor):
            if tensor.data_ptr() not in parameters:
                sizes.append(tensor.numel())
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            out = tower(*inputs)
        out.sum().backward()
        return len(sizes), sum(sizes)

    number, size = kept()
    tower.chunk = 2
    fewer, smaller = kept()
    assert fewer < number / 5
    assert smaller < size / 5


def test_statistics_of_the_batch_are_taken_once():
    tower, inputs = audio_case(drop_path=0.0)
    tower.train()
    tower.chunk = 2
    gradients(tower, inputs)
    assert int(tower.norm.num_batches_tracked) == 1
    torch.testing.assert_close(tower.norm.running_mean, 0.1 * inputs[0].mean(dim=(0, 1)))


def test_drop_path_grows_over_the_blocks_and_is_on_both_branches():
    tower, _ = audio_case()
    blocks = [block for layer in tower.swin.layers for block in layer.blocks]
    rates = [(block.drop_path.rate, block.output.dropout.rate) for block in blocks]
    assert rates == [pytest.approx((rate, rate)) for rate in (0.0, 0.1, 0.2, 0.3)]
    branch = torch.ones(2_000, 3, 4)
    torch.manual_seed(0)
    dropped = blocks[-1].drop_path.train()(branch)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)


def test_initial_weights_are_those_of_the_published_code():
    tower, _ = audio_case()
    query = tower.swin.layers[1].blocks[0].attention.self.query
    assert query.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert query.weight.abs().max() < 0.1
    assert not query.bias.any()
    assert tower.swin.patch_embed.proj.bias.any()


def test_short_clips_are_stretched_and_long_ones_are_refused():
    tower, _ = audio_case()
    tower.eval()
    assert tower.longest == 256
    for frames in (1, 100, 256):
        assert tower(torch.randn(2, frames, 16)).isfinite().all()
    with pytest.raises(EmbeddingError, match="257 frames of 16"):
        tower(torch.randn(2, 257, 16))
    with pytest.raises(EmbeddingError, match="of 32 mel bands"):
        tower(torch.randn(2, 100, 32))


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": (2, 2, 2), "heads": (2, 4, 8)},  # the last stage is 4 x 4: no room for a window
        {"window": 9},
        {"spec_size": 66},
        {"mel": MelSettings(n_mels=24)},
        {"mel": MelSettings(n_mels=4)},
        {"heads": (2,)},
        {"heads": (3, 4)},
    ],
    ids=str,
)
def test_impossible_shapes_are_refused(changes):
    settings = SWIN.model_copy(update={"window": 8, **changes})
    with pytest.raises(UsageError) as raised:
        AudioTower(settings)
    assert raised.value.allowed


def test_impossible_text_shapes_are_refused():
    for changes in ({"heads": 5}, {"positions": 9}):
        with pytest.raises(UsageError):
            TextTower(BERT.model_copy(update=changes))


def test_padding_does_not_change_the_vector():
    tower, (ids, mask) = text_case()
    tower.eval()
    changed = torch.where(mask == 1, ids, 7)
    torch.testing.assert_close(tower(changed, mask), tower(ids, mask), rtol=1e-5, atol=1e-6)

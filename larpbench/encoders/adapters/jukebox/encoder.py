"""Jukebox (Dhariwal et al. 2020) as an encoder (Castellon et al. 2021): layer 36 of its prior of 5 billion weights.

Audio becomes codes of the VQ-VAE's coarsest level (344.5 a second); the prior, a transformer that predicts the next
code, reads at most 8,192 of them (23.8 s), and the mean over time of what its layer 36 gives are the 4,800 numbers. The
networks are those of the package ``jukebox-infer``; of the prior's 72 layers, those after 36 never take memory.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import DataError
from larpbench.runtime import torch_device

SAMPLE_RATE = 44_100
"""Hz."""
LAYER = 36
"""The one that told most in Castellon et al."""
DEPTH = 72
"""Layers of the published prior."""
LONGEST_S = 25.0
"""What follows is cut off."""
VQVAE_FILE = "vqvae.pth.tar"
PRIOR_FILE = "prior_level_2.pth.tar"
_WIDTH = "prior.pos_emb.pos_emb"  # (8192, width)
_COARSEST = 2  # level of the VQ-VAE
_HOP = 128  # samples a code
_VQVAE_SAMPLES = 1_048_576  # for which the networks are laid out: 8,192 codes
_NOT_MADE = (*(f"prior.transformer._attn_mods.{layer}.*" for layer in range(LAYER, DEPTH)), "prior.x_out.*")
_SHORTEST_S = 1.0  # a shorter clip is repeated
_PIECE_S = 62  # how long the prior is told that the piece is: it was trained on 60 s and more


class JukeboxEncoder:
    """Mean over time of the prior's layer 36, for each clip's first 25 s.

    Args:
        vqvae: The VQ-VAE, of which only the coarsest encoder is used.
        prior: The top prior, cut after the layer that is asked for (`load_prior`).
        device: Where to compute, as torch names it.
    """

    def __init__(self, vqvae: Any, prior: Any, device: str) -> None:  # noqa: ANN401 - the package's classes
        self._encoder = vqvae.encoders[_COARSEST].eval().to(device)
        self._codebook = vqvae.bottleneck.level_blocks[_COARSEST].to(device)
        self._prior = prior.prior.eval().to(device)
        self._device = device
        with torch.inference_mode():
            self._start, self._time = _label_conditions(prior.eval(), device)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 of `batch.audio`, (n, samples) float32 at 44.1 kHz.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        audio = batch.require_audio("jukebox")
        with torch.inference_mode():
            return np.stack([self.states(self.codes(clip)).mean(dim=0).cpu().numpy() for clip in audio])

    @torch.inference_mode()
    def codes(self, clip: np.ndarray) -> torch.Tensor:
        """Return (1, codes) int64 of a clip, (samples,) float32 at 44.1 kHz, brought to a peak of 1."""
        clip = np.resize(clip, max(len(clip), round(_SHORTEST_S * SAMPLE_RATE)))[: round(LONGEST_S * SAMPLE_RATE)]
        clip = clip[: len(clip) // _HOP * _HOP]
        if peak := np.abs(clip).max():
            clip = clip / peak
        wave = torch.from_numpy(clip.astype(np.float32))[None, None].to(self._device)
        return self._codebook.encode(self._encoder(wave)[-1])

    @torch.inference_mode()
    def states(self, codes: torch.Tensor) -> torch.Tensor:
        """Return (codes, width) float32, what the last layer of the cut prior gives for (1, codes) int64.

        As the package's `ConditionalAutoregressive2D.forward`, which insists on CUDA and on 8,192 codes: each code is
        shifted by one, so that a position knows what came before it only.
        """
        prior = self._prior
        codes = codes[:, : prior.input_dims]
        states = torch.roll(prior.x_emb(codes), 1, dims=1)
        states[:, 0] = self._start
        states = states + prior.pos_emb()[: codes.shape[1]] + self._time[:, : codes.shape[1]]
        for layer in prior.transformer._attn_mods:
            # With `sample`, a layer takes fewer than 8,192 codes, and remembers them: that must go.
            layer.attn.del_cache()
            states = layer(states, encoder_kv=None, sample=True)
            layer.attn.del_cache()
        return states[0].float()


def pretrained_jukebox(folder: Path) -> JukeboxEncoder:
    """Return the encoder with the weights of a folder."""
    vqvae = load_vqvae(folder / VQVAE_FILE)
    return JukeboxEncoder(vqvae, load_prior(folder / PRIOR_FILE, vqvae), torch_device())


def load_vqvae(path: Path) -> Any:  # noqa: ANN401 - the package's class
    """Return the VQ-VAE of a checkpoint.

    Raises:
        DataError: If the file is no checkpoint of it.
    """
    from jukebox_infer.hparams import setup_hparams
    from jukebox_infer.make_models import make_vqvae

    sizes = setup_hparams("vqvae", {"sample_length": _VQVAE_SAMPLES, "restore_vqvae": ""})
    with _quiet():
        vqvae = make_vqvae(sizes, "cpu")
    _assign(vqvae, _state(path), "Jukebox's VQ-VAE", path)
    return vqvae


def load_prior(path: Path, vqvae: Any) -> Any:  # noqa: ANN401 - the package's class
    """Return the top prior of a checkpoint, its first 36 layers; the others are never made.

    Args:
        path: The checkpoint; it decides the width.
        vqvae: The VQ-VAE that it belongs to.

    Raises:
        DataError: If the file is no checkpoint of it.
    """
    from jukebox_infer.hparams import setup_hparams
    from jukebox_infer.make_models import make_prior

    state = _state(path)
    if _WIDTH not in state:
        raise DataError("these weights are not those of Jukebox's prior", where=str(path), allowed=_WIDTH)
    width = state[_WIDTH].shape[-1]
    sizes = setup_hparams("prior_5b", {"restore_prior": "", "prior_width": width, "prior_depth": LAYER})
    with torch.device("meta"), _quiet():  # shapes only: as it is built, it would take 20 GB
        prior = make_prior(sizes, vqvae, "meta")
    prior.prior.x_out = None
    _assign(prior, state, "Jukebox's prior", path, unused=_NOT_MADE)
    return prior


def _label_conditions(prior: Any, device: str) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """Return what stands for the first code, (1, 1, width), and what is added to all, (1, 8192, width).

    Artist and genre unknown, the start of a piece of 62 s; as `LabelConditioner.forward`, which insists on CUDA.
    """
    labels = prior.y_emb
    hop = int(prior.raw_to_tokens)
    total = torch.tensor([[float(_PIECE_S * SAMPLE_RATE // hop * hop)]])
    start, end = torch.zeros(1, 1), torch.full((1, 1), float(prior.sample_length))
    unknown = torch.zeros(1, 1, dtype=torch.long)
    first = labels.bow_genre_emb.emb(unknown) + labels.artist_emb.emb(unknown)
    time = labels.total_length_emb(total) + labels.absolute_pos_emb(start, end)
    time = time + labels.relative_pos_emb(start / total, end / total)
    return first.to(device), time.to(device)


def _state(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint, without running anything that it may hold."""
    try:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # of before torch 1.6, which cannot be mapped: all of it is in memory for a moment
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises of all kinds, some of them for what is no pickle of tensors
        raise DataError("this file is no checkpoint of Jukebox", where=str(path)) from error
    state = found.get("model") if isinstance(found, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(each, torch.Tensor) for each in state.values()):
        raise DataError("this checkpoint has no weights under 'model'", where=str(path))
    return {name.removeprefix("module."): values for name, values in state.items()}


def _assign(
    module: torch.nn.Module, state: Mapping[str, torch.Tensor], model: str, path: Path, unused: Sequence[str] = ()
) -> None:
    """Put weights in place, in the precision that the package made the network in: matrices of the prior in half."""
    own = module.state_dict()
    found = facts_of(state)
    require_tensors(found, facts_of(own), model, path, unused=unused)
    say_casts({name: found[name] for name in own if own[name].dtype == torch.float32}, path)
    module.load_state_dict({name: state[name].to(values.dtype) for name, values in own.items()}, assign=True)
    module.requires_grad_(False)


@contextlib.contextmanager
def _quiet() -> Any:  # noqa: ANN401
    """Swallow what the package prints while it builds."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield

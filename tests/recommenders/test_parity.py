"""The same losses and scores as the published implementations give, by the functions that training uses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from support.packed import Numbers

from larpbench.recommenders.clcrec import Batch, ContentNet
from larpbench.recommenders.dropoutnet import Tower, balanced_loss, cold_preference
from larpbench.recommenders.wmf import alternating_least_squares

FIXTURES = Path(__file__).parents[1] / "fixtures" / "recommenders"


@pytest.fixture(scope="module")
def units():
    return Numbers(FIXTURES / "units.npz")


@pytest.fixture(scope="module")
def expected():
    return json.loads((FIXTURES / "units_expected.json").read_text())


def means(numbers, features):
    """Content of the playlists: means of their tracks."""
    held = torch.zeros(int(numbers["playlist_track"][:, 0].max()) + 1, len(features))
    held[numbers["playlist_track"][:, 0].long(), numbers["playlist_track"][:, 1].long()] = 1
    return held @ features / held.sum(dim=1, keepdim=True)


@pytest.mark.parametrize("alpha", [1, 10, 40])
def test_one_iteration_of_wmf_is_its_closed_form(units, expected, alpha):
    counts, l2 = units["wmf_R"].numpy(), expected["wmf_lambda"]
    confidence = sparse.csr_matrix((1 + alpha * counts) * (counts > 0)).astype(np.float32)
    factors = alternating_least_squares(confidence, units["wmf_Y0"].numpy(), l2, iterations=1)
    np.testing.assert_allclose(factors.playlists, units[f"wmf_X_alpha{alpha}"].numpy(), atol=1e-13)
    np.testing.assert_allclose(factors.tracks, units[f"wmf_Y_alpha{alpha}"].numpy(), atol=1e-13)
    weights = 1 + alpha * counts
    errors = weights * ((counts > 0) - factors.playlists @ factors.tracks.T) ** 2
    objective = errors.sum() + l2 * ((factors.playlists**2).sum() + (factors.tracks**2).sum())
    assert objective == pytest.approx(expected[f"wmf_objective_alpha{alpha}"], rel=1e-12)


def content_net(numbers, prefix):
    net = ContentNet(256)
    names = {"layers.0": "encoder_layer1", "layers.2": "encoder_layer2"}
    net.load_state_dict(
        {f"{o}.{part}": numbers[f"{prefix}{t}.{part}"] for o, t in names.items() for part in ("weight", "bias")}
    )
    return net.requires_grad_(False)


def rows(numbers, length):
    replaced = torch.zeros(length, dtype=torch.bool)
    replaced[numbers.long()] = True
    return replaced


def test_clcrec_loss_and_its_parts(units, expected):
    net, tracks = content_net(units, "clc."), units["items"][:, 0]
    batch = Batch(
        units["clc.user_id_embedding"][units["uid"][:, 0]],
        units["clc.item_id_embedding"][tracks],
        net(units["feat"])[tracks],
        rows(units["clc_rand_index"], len(tracks)),
    )
    wanted = expected["larp_clcrec"]
    assert batch.content_term(2.0).item() == pytest.approx(wanted["contrastive_item_embed_vs_content"], abs=1e-6)
    assert batch.playlist_term(2.0).item() == pytest.approx(wanted["contrastive_playlist_vs_item"], abs=1e-6)
    assert batch.loss(2.0, 0.1).item() == pytest.approx(wanted["loss"], abs=1e-6)


def test_clcrec_scores_are_those_of_the_encoded_mean(units):
    net, features = content_net(units, "clc."), units["feat"]
    scores = net(means(units, features)) @ net(features).T
    torch.testing.assert_close(scores, units["clc_scores_encode_of_mean_paper_eq30"], atol=1e-6, rtol=1e-5)
    assert (scores - units["clc_scores_mean_of_encoded"]).abs().max() > 1e-3


def test_clcrec_loss_of_the_second_fixture():
    numbers = Numbers(FIXTURES / "second.npz")
    net, tracks = content_net(numbers, "clcrec/w/"), numbers["items"][:, 0]
    batch = Batch(
        numbers["clcrec/w/user_id_embedding"][numbers["playlists"]],
        numbers["clcrec/w/item_id_embedding"][tracks],
        net(numbers["content_train"])[tracks],
        rows(numbers["clcrec/rand_index"], len(tracks)),
    )
    assert batch.content_term(2.0).item() == pytest.approx(numbers["clcrec/loss1"].item(), abs=1e-6)
    assert batch.playlist_term(2.0).item() == pytest.approx(numbers["clcrec/loss2"].item(), abs=1e-6)
    assert batch.loss(2.0, 0.1).item() == pytest.approx(numbers["clcrec/loss"].item(), abs=1e-6)


def tower(numbers, prefix, side):
    found = Tower(256)
    state = {}
    for block in range(3):
        theirs = f"{prefix}{side}_layers.{block}."
        for part in ("weight", "bias"):
            state[f"layers.{block}.linear.{part}"] = numbers[f"{theirs}layer.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            state[f"layers.{block}.norm.{part}"] = numbers[f"{theirs}bn.{part}"]
    for part in ("weight", "bias"):
        state[f"layers.3.{part}"] = numbers[f"{prefix}{side}_emb.{part}"]
    found.load_state_dict(state)
    return found


def labelled(playlists, items):
    """Each playlist with its track, then with a track that it lacks."""
    return playlists.repeat_interleave(2), items.reshape(-1), torch.tensor([1.0, 0.0]).repeat(len(items))


@pytest.mark.parametrize("dropped", [True, False])
def test_dropoutnet_loss_with_rows_really_dropped_and_without(expected, dropped):
    numbers = Numbers(FIXTURES / "dropoutnet.npz")
    playlists, tracks, labels = labelled(numbers["uid"][:, 0], numbers["items"])
    of_playlists, of_tracks = numbers["mf_U"][playlists], numbers["mf_V"][tracks]
    if dropped:
        of_playlists[numbers["dn_drop_user_rows"]] = 0
        of_tracks[numbers["dn_drop_item_rows"]] = 0
    content = numbers["dn_playlist_content"]
    scores = (
        tower(numbers, "dn.", "u")(of_playlists, content[playlists])
        * tower(numbers, "dn.", "v")(of_tracks, numbers["feat"][tracks])
    ).sum(dim=1)
    loss = balanced_loss(scores, labels, labels > 0).item()
    name = "intended_dropoutnet_train_loss_rows_dropped" if dropped else "larp_dropoutnet_train_loss_dropout0"
    assert loss == pytest.approx(expected[name], abs=1e-6)


def test_dropoutnet_scores_cold_rows_with_the_mean_of_their_own_side():
    numbers = Numbers(FIXTURES / "dropoutnet.npz")
    playlists, tracks = tower(numbers, "dn.", "u").eval(), tower(numbers, "dn.", "v").eval()
    content, features = numbers["dn_playlist_content"], numbers["feat"]
    u, v = cold_preference(numbers["mf_U"]), cold_preference(numbers["mf_V"])
    torch.testing.assert_close(content, means(numbers, features), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        scores = playlists(u, content) @ tracks(v, features).T
        swapped = playlists(v, content) @ tracks(u, features).T
    torch.testing.assert_close(scores, numbers["dn_scores_paper_means"], atol=1e-9, rtol=1e-4)
    torch.testing.assert_close(swapped, numbers["dn_scores_larp_swapped_means"], atol=1e-9, rtol=1e-4)
    assert (scores - swapped).abs().max() > 1e-7


def test_dropoutnet_loss_of_the_second_fixture():
    numbers = Numbers(FIXTURES / "second.npz")
    playlists, tracks, labels = labelled(numbers["playlists"], numbers["items"])
    graph, features = numbers["graph_train"], numbers["content_train"]
    content = graph @ features / graph.sum(dim=1, keepdim=True)
    first = tower(numbers, "dropoutnet/w/", "u")
    scores = first(numbers["mf/U"][playlists], content[playlists]) * tower(numbers, "dropoutnet/w/", "v")(
        numbers["mf/V"][tracks], features[tracks]
    )
    loss = balanced_loss(scores.sum(dim=1), labels, labels > 0).item()
    assert loss == pytest.approx(numbers["dropoutnet/loss_train_mode"].item(), abs=1e-6)
    torch.testing.assert_close(first.layers[0].norm.running_mean, numbers["dropoutnet/bn_after"], atol=1e-6, rtol=1e-5)

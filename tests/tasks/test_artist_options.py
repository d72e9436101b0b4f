"""Options of the artist-similarity task."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from support.small_graphs import small_toy

from larpbench.errors import UsageError
from larpbench.tasks.artist_similarity.settings import CORRECTED, PAPER, ArtistOptions
from larpbench.tasks.artist_similarity.task import ARTIST_SIMILARITY


def test_the_earlier_name_of_a_protocol_means_the_same_and_a_line_says_so(cli, tmp_path):
    toy = small_toy(tmp_path / "toy")
    options = ("--task", "artist-similarity", "--dataset", toy, "--layers", "0", "--output", tmp_path / "r", "--json")
    new, old = (cli("plan", *options, "--protocol", name) for name in ("corrected", "fixed"))
    assert new.code == old.code == 0
    assert old.out == new.out
    assert "fixed is now called corrected" not in new.err
    assert "protocol fixed is now called corrected" in old.err


@pytest.mark.parametrize(
    ("options", "protocol"),
    [
        ({}, "artist-similarity-v1"),
        ({"protocol": "fixed", "layers": "0,2"}, "artist-similarity-v1"),
        ({"protocol": "paper", "songs": "all"}, "artist-similarity-v1/paper,songs=all"),
        (
            {"visible_edges": "none", "epochs": "3", "triplets": 0},
            "artist-similarity-v1/visible-edges=none,epochs=3,triplets=0",
        ),
    ],
)
def test_results_are_named_after_what_changes_scores(options, protocol):
    assert ARTIST_SIMILARITY.configured(options).protocol == protocol


def test_training_follows_the_options():
    assert ArtistOptions().training == CORRECTED
    assert ArtistOptions(protocol="paper").training == PAPER
    assert ArtistOptions(protocol="paper").scaled_on == "all"
    training = ArtistOptions(epochs=3, triplets=0).training
    assert (training.epochs, training.triplets) == (3, None)


def test_layers_say_which_networks_are_the_default():
    task = ARTIST_SIMILARITY.configured({"layers": "0,2"})
    assert task.default_recommenders == ("gnn-sage-0", "gnn-sage-2")
    assert ArtistOptions().layers == (0, 1, 2, 3, 4)


def test_every_option_is_described_and_others_are_refused():
    for name, field in ArtistOptions.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
    with pytest.raises(UsageError, match="has no option colour"):
        ARTIST_SIMILARITY.configured({"colour": 1})
    with pytest.raises(ValidationError):
        ArtistOptions(songs=0)

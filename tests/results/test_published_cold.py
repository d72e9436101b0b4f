"""Published numbers on cold tracks: read right, and where they lie beside chance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import linprog

from larpbench.datasets.sources.onion.presets import PRESETS
from larpbench.evaluation.bounds import chance
from larpbench.results.published.cold_tracks import (
    CUTOFF,
    KNN,
    METRICS,
    PublishedChance,
    published_chance,
    published_cold_scores,
    published_encoders,
    published_findings,
    published_split,
)

# Hit rate, recall and NDCG of the same output, read another time and to three decimals.
BIMODAL = """muq_msd .669/.415/.198, mule .654/.395/.184, muq_mulan .652/.369/.164, mert .608/.340/.157,
musicnn .593/.334/.152, jukemir .612/.333/.143, encodecmae .599/.331/.150, music2vec .525/.242/.108,
mfcc .474/.221/.109, musicfm .320/.107/.049"""
OF_KNN = """mert .283/.084/.032, musicnn .266/.119/.050, musicfm .258/.069/.030, encodecmae .250/.067/.025,
muq_mulan .250/.069/.028, music2vec .248/.065/.030, mfcc .242/.069/.025, mule .224/.067/.026, jukemir .183/.050/.018,
muq_msd .173/.049/.019"""


@pytest.mark.parametrize(("method", "text"), [("Bimodal", BIMODAL), (KNN, OF_KNN)])
def test_the_numbers_are_those_of_a_second_reading(method, text):
    rows = {
        each.encoder: each.values for each in published_cold_scores() if each.method == method and not each.shuffled
    }
    second = dict(entry.split() for entry in text.split(","))
    assert rows.keys() == second.keys()
    for encoder, numbers in second.items():
        for metric, number in zip(METRICS, numbers.split("/"), strict=True):
            assert rows[encoder][metric] == pytest.approx(float(number), abs=5.1e-4), (encoder, metric)


def test_every_method_has_every_encoder_and_says_where_it_was_read():
    rows, names = published_cold_scores(), {each.name for each in published_encoders()}
    assert Counter((each.method, each.shuffled) for each in rows) == dict.fromkeys(
        [
            (KNN, False),
            ("Bimodal, 100 epochs", False),
            *((name, shuffled) for name in ("Shallow", "BERT4Rec", "Bimodal", "Hybrid") for shuffled in (False, True)),
        ],
        len(names),
    )
    assert {each.encoder for each in rows} == names
    assert all("7a3dbbb5" in each.source and ("Shuffle" in each.source) == each.shuffled for each in rows)
    assert all(0 < value < 1 for each in rows for value in each.values.values())
    assert all((half is None) == (each.method == KNN) for each in rows for half in each.half_widths.values())
    assert [(each.metric, each.more_than) for each in published_findings()] == [("recall", 2), ("ndcg", 2)]


def test_rows_of_knn_and_of_shuffled_vectors_lie_at_chance_at_50():
    at20, at50 = (published_chance()[f"hit_rate@{k}"] for k in (20, 50))
    knn = [each for each in published_cold_scores() if each.method == KNN]
    assert all(each.values["hit_rate"] <= at50.value < at50.high for each in knn)
    assert all("means of wrong tracks" in each.marks[1] and "at or below chance@50" in each.marks[2] for each in knn)
    shuffled = [each for each in published_cold_scores() if each.shuffled]
    assert all(at50.place(each.values["hit_rate"]) == "within" for each in shuffled)
    below = [(each.method, each.encoder) for each in shuffled if at20.place(each.values["hit_rate"]) != "above"]
    assert below == [("BERT4Rec", "music2vec")], "39 of 40 lie above the whole range at 20"
    for metric in METRICS:  # what they are the means of: permutations, ranked at 50 and not at 20
        mean = np.mean([each.values[metric] for each in shuffled])
        assert mean == pytest.approx(published_chance()[f"{metric}@50"].value, rel=0.02)
    assert not any(len(each.marks) == 3 for each in shuffled)


def test_the_relation_to_a_range_that_is_unknown_is_an_error():
    assert PublishedChance("m", 0.2, 0.1, 0.3, "").place(0.05) == "below"
    with pytest.raises(ValueError, match=r"recall@20 is unknown"):
        published_chance()["recall@20"].place(0.1)


def test_the_sizes_are_those_that_the_preset_is_verified_by():
    split = published_split()
    preset = PRESETS["tamm-2026"].published
    assert preset["train"] == (split["Train"].pairs, split["Train"].listeners, split["Train"].tracks)
    cold = split["ColdTest"]
    assert preset["cold test"] == (cold.pairs, cold.listeners, cold.tracks) == (23_269, 4_553, 589)
    warm = (split["Val"], split["HotTest"])
    assert preset["test of warm tracks"][:2] == (sum(w.pairs for w in warm), sum(w.listeners for w in warm))


def test_chance_is_possible_for_listeners_of_the_published_sizes():
    """The numbers of held-out tracks are published as count, sum, median, smallest and largest alone.

    Linear programs over how many listeners have h = 1 .. 85 of them: each published chance lies between the least and
    the largest possible one, and some sizes give all six at once.
    """
    cold, expected = published_split()["ColdTest"], published_chance()
    median, least, most = cold.per_listener
    heldout = np.arange(least, most + 1)
    found = chance(np.full(len(heldout), cold.tracks), heldout, (20, CUTOFF))
    equal = np.array([np.ones(len(heldout)), heldout]), [cold.listeners, cold.pairs]
    at_least = np.array([heldout <= median, heldout >= median], dtype=np.float64)
    half = [-(cold.listeners + 1) // 2] * 2
    bounds = [(1 if h in (least, most) else 0, None) for h in heldout]
    rows = []
    for name, each in expected.items():
        per_listener = found[name] / cold.listeners
        low, high = (
            sign * linprog(sign * per_listener, -at_least, half, *equal, bounds=bounds).fun for sign in (1, -1)
        )
        assert low - 5e-5 <= each.value <= high + 5e-5, name
        assert high - low < 0.2, "the sizes leave some room and not all"
        rows.append((per_listener, each.value))
    weights, values = (np.array(part) for part in zip(*rows, strict=True))
    together = linprog(
        np.zeros(len(heldout)),
        np.vstack([-at_least, weights, -weights]),
        np.concatenate([half, values + 5e-5, 5e-5 - values]),
        *equal,
        bounds=bounds,
    )
    assert together.status == 0
    assert found["recall@20"][0] == 20 / 589
    assert found["hit_rate@20"][0] == pytest.approx(20 / 589)  # of a listener with one held-out track

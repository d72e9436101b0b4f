"""Where clips start."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from larpbench.audio import AudioPolicy, clip_start
from larpbench.fingerprint import digest

DURATIONS = st.floats(0.001, 20_000, allow_nan=False)
POLICIES = st.builds(
    AudioPolicy,
    clip_seconds=st.floats(0.01, 60),
    skip_start_s=st.floats(0, 60),
    skip_end_s=st.floats(0, 60),
)


@given(POLICIES, st.integers(), st.text(), DURATIONS)
def test_clips_lie_where_they_should(policy, seed, track_id, duration_s):
    start = clip_start(policy, seed, track_id, duration_s)
    assert start == clip_start(policy, seed, track_id, duration_s)
    assert start == round(start, 3) >= 0
    assert float(repr(start)) == start
    clip, rounding = policy.clip_seconds, 1e-6
    if duration_s < clip:
        assert start == 0
        return
    assert start + clip <= duration_s + rounding
    latest = duration_s - policy.skip_end_s - clip
    if latest >= policy.skip_start_s + 0.001 + rounding:
        assert policy.skip_start_s - rounding <= start <= latest + rounding
    elif latest < policy.skip_start_s - rounding:
        assert start == pytest.approx((duration_s - clip) / 2, abs=0.001 + rounding)


def test_by_hand():
    policy = AudioPolicy()
    assert clip_start(policy, 0, "a", 50.0) == 20.0
    assert clip_start(policy, 0, "a", 49.9) == 19.95
    assert clip_start(policy, 0, "a", 12.0) == 1.0
    assert clip_start(policy, 0, "a", 10.0) == 0.0
    assert clip_start(policy, 0, "a", 0.2) == 0.0


def test_starts_are_uniform():
    starts = np.array([clip_start(AudioPolicy(), 1, f"track {i}", 250.0) for i in range(4_000)])
    counts = np.histogram(starts, bins=20, range=(20, 220))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi squared, 19 degrees of freedom, p = 0.001


def test_seed_and_id_count_but_not_together():
    policy = AudioPolicy()
    assert clip_start(policy, 1, "a", 300) != clip_start(policy, 2, "a", 300)
    assert clip_start(policy, 1, "a", 300) != clip_start(policy, 1, "b", 300)
    assert clip_start(policy, 1, "1a", 300) != clip_start(policy, 11, "a", 300)


def test_the_draw_never_changes():
    assert [clip_start(AudioPolicy(), 0, name, 200.0) for name in ("a", "b", "träck")] == [52.82, 97.017, 60.599]


@pytest.mark.parametrize(
    "wrong",
    [{"clip_seconds": 0}, {"skip_start_s": -1}, {"resampler": "linear"}, {"clip_second": 3}, {"version": 2},
     {"clip_seconds": math.inf}, {"min_seconds": math.nan}, {"silence_dbfs": 3}],
)  # fmt: skip
def test_wrong_policies(wrong):
    with pytest.raises(ValidationError):
        AudioPolicy(**wrong)


def test_policies_hash():
    assert digest(AudioPolicy().model_dump()) == digest(AudioPolicy(clip_seconds=10).model_dump())
    assert digest(AudioPolicy().model_dump()) != digest(AudioPolicy(clip_seconds=5).model_dump())
    with pytest.raises(ValidationError):
        AudioPolicy().clip_seconds = 3

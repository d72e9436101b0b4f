"""The time-out of a queue, with a stand-in for Ray whose calls are done at once and are looked at late."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from larpbench.engine import ray_pool
from larpbench.engine.worker import Answer


class Done:
    """As much of Ray as a queue needs; the clock goes on by a minute with every call."""

    def __init__(self):
        self.answers, self.killed, self.minutes = {}, [], itertools.count()
        names = ("RayTaskError", "RayError", "OutOfMemoryError", "NodeDiedError", "WorkerCrashedError", "RayActorError")
        self.exceptions = SimpleNamespace(**{name: type(name, (Exception,), {}) for name in names})

    def remote(self, kind):
        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=self._actor))

    def _actor(self, around):
        return SimpleNamespace(
            begin=SimpleNamespace(remote=lambda: self._call(None)),
            take=SimpleNamespace(remote=lambda kind, start, item: self._call(2 * item)),
        )

    def _call(self, value):
        number = len(self.answers)
        self.answers[number] = Answer(value, None, 0.0, (), "here")
        return number

    def put(self, value):
        return value

    def wait(self, calls, num_returns, timeout):
        return calls[:num_returns], calls[num_returns:]

    def get(self, call):
        return self.answers[call]

    def kill(self, handle):
        self.killed.append(handle)

    def is_initialized(self):
        return True


@pytest.fixture
def ray(monkeypatch):
    stand_in = Done()
    monkeypatch.setattr(ray_pool, "require_ray", lambda: stand_in)
    monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=lambda: 60.0 * next(stand_in.minutes)))
    return stand_in


def test_what_is_done_is_not_late_however_late_it_is_looked_at(ray):
    actors = ray_pool.Actors(None, {}, most=4, seconds=1.0)
    outcomes = [*actors.drained([None], [(0, item) for item in range(12)])]
    assert sorted(each.value.value for each in outcomes) == [*range(0, 24, 2)]
    assert {each.attempts for each in outcomes} == {1}
    assert ray.killed == []


def test_what_is_not_done_in_time_is_given_up_after_four_tries(ray, monkeypatch):
    starting = [each for each in range(100) if each % 2 == 0]  # every actor starts, and then takes an item for ever
    monkeypatch.setattr(ray, "wait", lambda calls, num_returns, timeout: ([c for c in calls if c in starting], calls))
    actors = ray_pool.Actors(None, {}, most=1, seconds=1.0)
    (outcome,) = actors.drained([None], [(0, 1)])
    assert outcome.attempts == len({id(each) for each in ray.killed}) == 4
    assert "it took more than 1 s" in str(outcome.error)

"""The registry: names, where they come from, and what is said of names that are not there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.registry import Registry

GROUP = "larpbench.tests.numbers"
Numbers = Registry[Fraction]


@pytest.fixture
def on_path(plugins: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The folder of distributions on this process's own path, and nothing left of it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(plugins.folder))
    yield plugins
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def numbers(on_path: Any) -> Numbers:
    """A registry of fractions with two built-ins."""
    (on_path.folder / "built_in_numbers.py").write_text(
        "from fractions import Fraction\nHALF = Fraction(1, 2)\nTHIRD = Fraction(1, 3)\n"
    )
    table = {"third": "built_in_numbers:THIRD", "half": "built_in_numbers:HALF"}
    return Registry("number", Fraction, table, group=GROUP)


def add(plugins: Any, distribution: str, name: str, target: str, source: str | None = None) -> None:
    module = target.partition(":")[0]
    modules = {} if source is None else {module: source}
    plugins.add(distribution, {name: target}, modules, group=GROUP, version="2.5")


def fraction(value: str) -> str:
    return f"from fractions import Fraction\nVALUE = Fraction({value!r})\n"


def test_names_put_the_built_ins_first(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "zz", "zero", "zeros:VALUE", fraction("0"))
    add(on_path, "aa", "a-ninth", "ninths:VALUE", fraction("1/9"))
    assert numbers.names() == ["half", "third", "a-ninth", "zero"]


def test_names_import_nothing(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", "raise RuntimeError\n")
    numbers.names()
    numbers.origin("ninth")
    numbers.origin("half")
    assert not {"ninths", "built_in_numbers"} & set(sys.modules)


def test_listing_encoders_loads_nothing_heavy(command_line: Any, plugins: Any) -> None:
    plugins.add("dist-loud", {"loud": "loud_module:SPEC"}, {"loud_module": "print('imported')\n"})
    code = """
import sys
from larpbench.encoders.names import ENCODERS
assert "loud" in ENCODERS.names(), ENCODERS.names()
print(sorted({"torch", "sklearn", "transformers", "scipy", "loud_module"} & set(sys.modules)))
"""
    done = command_line.python("-c", code)
    assert (done.code, done.out) == (0, "[]\n"), done.err


def test_get_returns_the_same_object(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", fraction("1/9"))
    assert numbers.get("half") == Fraction(1, 2)
    assert numbers.get("ninth") == Fraction(1, 9)
    assert numbers.get("ninth") is numbers.get("ninth")
    assert numbers.problems() == []


def test_origin(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa-numbers", "ninth", "ninths:VALUE", fraction("1/9"))
    plugin, built_in = numbers.origin("ninth"), numbers.origin("half")
    assert (plugin.distribution, plugin.version, plugin.target) == ("aa-numbers", "2.5", "ninths:VALUE")
    assert not plugin.built_in
    assert (built_in.distribution, built_in.target, built_in.built_in) == (
        "larpbench",
        "built_in_numbers:HALF",
        True,
    )
    for part in ("aa-numbers", "2.5", "ninths:VALUE"):
        assert part in str(plugin)


@pytest.mark.parametrize("call", ["get", "origin"])
def test_an_unknown_name_says_what_is_known(numbers: Numbers, on_path: Any, call: str) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", fraction("1/9"))
    with pytest.raises(UnknownNameError) as caught:
        getattr(numbers, call)("nint")
    assert "did you mean ninth?" in caught.value.what
    assert caught.value.allowed is not None
    assert caught.value.allowed.split(", ") == ["half", "ninth", "third"]
    assert caught.value.next_step == "larpbench list numbers"
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownNameError) as caught:
        getattr(numbers, call)("qqqqqq")
    assert "did you mean" not in caught.value.what
    assert "half" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"), [("tf-idf", "tfidf"), ("Random", "random"), ("precompute", "precomputed"), ("orcale", "oracle")]
)
def test_encoders_are_guessed(name: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean {meant}"):
        get_encoder(name)


def test_arguments_of_encoders() -> None:
    assert get_encoder("precomputed:x.npz").identity == "precomputed:x.npz"
    with pytest.raises(UsageError, match="takes nothing after a colon"):
        get_encoder("tfidf:x")
    with pytest.raises(UsageError, match="needs a FILE"):
        get_encoder("precomputed")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import package_that_nobody_has\n", "package_that_nobody_has"),
        ("raise RuntimeError('no device')\n", "RuntimeError: no device"),
        ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
        ("VALUE = = 1\n", "SyntaxError"),
        ("OTHER = 1\n", "VALUE"),
        ("VALUE = 'a string'\n", "str"),
        ("from fractions import Fraction\nVALUE = Fraction\n", "is no Fraction"),
        ("class Odd(BaseException): ...\nraise Odd('odd')\n", "Odd: odd"),
        (None, "ninths"),
    ],
)
def test_a_broken_plugin_is_a_problem_and_no_exception(
    numbers: Numbers, on_path: Any, source: str | None, said: str
) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", source)
    add(on_path, "bb", "fifth", "fifths:VALUE", fraction("1/5"))
    assert numbers.names() == ["half", "third", "fifth", "ninth"]
    assert numbers.get("half") == Fraction(1, 2)
    assert numbers.get("fifth") == Fraction(1, 5)
    (problem,) = numbers.problems()
    assert (problem.kind, problem.name) == ("broken", "ninth")
    for part in ("ninth", "aa 2.5", said):
        assert part in problem.message
    with pytest.raises(MissingPartError) as caught:
        numbers.get("ninth")
    assert caught.value.exit_code == 3
    assert "pip uninstall aa" in str(caught.value.next_step)


def test_an_interrupt_is_no_broken_plugin(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        numbers.get("ninth")


def test_a_plugin_that_is_mended_works(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", "raise RuntimeError('the disk is not there yet')\n")
    with pytest.raises(MissingPartError):
        numbers.get("ninth")
    (on_path.folder / "ninths.py").write_text(fraction("1/9"))
    importlib.invalidate_caches()
    assert numbers.get("ninth") == Fraction(1, 9)


def test_a_built_in_wins_a_clash(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "half", "halves:VALUE", "raise RuntimeError('never imported')\n")
    assert numbers.get("half") == Fraction(1, 2)
    assert numbers.origin("half").built_in
    assert numbers.names() == ["half", "third"]
    (problem,) = numbers.problems()
    assert (problem.kind, problem.name) == ("clash", "half")
    for part in ("half", "built in", "aa 2.5", "halves:VALUE"):
        assert part in problem.message
    assert "halves" not in sys.modules


def test_of_two_plugins_the_first_in_the_alphabet_wins(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "zz", "ninth", "ninths_of_zz:VALUE", fraction("2/9"))
    add(on_path, "aa", "ninth", "ninths_of_aa:VALUE", fraction("1/9"))
    assert numbers.get("ninth") == Fraction(1, 9)
    assert numbers.origin("ninth").distribution == "aa"
    (problem,) = numbers.problems()
    assert (problem.kind, problem.name) == ("clash", "ninth")
    assert "aa 2.5" in problem.message
    assert "zz 2.5" in problem.message


def test_a_built_in_that_fails_is_not_hidden(on_path: Any) -> None:
    (on_path.folder / "built_in_numbers.py").write_text("raise RuntimeError('a bug of ours')\n")
    registry = Registry("number", Fraction, {"half": "built_in_numbers:HALF"}, group=GROUP)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        registry.get("half")


@pytest.mark.parametrize("target", ["ninths:Values.ninth", "ninths:VALUE [extra]"])
def test_all_that_an_entry_point_may_say_is_understood(numbers: Numbers, on_path: Any, target: str) -> None:
    source = fraction("1/9") + "class Values:\n    ninth = VALUE\n"
    on_path.add("aa", {"ninth": target}, {"ninths": source}, group=GROUP)
    assert numbers.get("ninth") == Fraction(1, 9)


@pytest.mark.parametrize("target", ["", ":", "ninths", "ninths:", ":VALUE", ".ninths:VALUE", "not a name!"])
def test_a_senseless_target_is_a_problem(numbers: Numbers, on_path: Any, target: str) -> None:
    on_path.add("aa", {"ninth": target}, {"ninths": fraction("1/9")}, group=GROUP)
    assert numbers.get("half") == Fraction(1, 2)
    assert [problem.kind for problem in numbers.problems()] == ["broken"]


def test_senseless_metadata_harm_nobody(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", fraction("1/9"))
    (on_path.folder / "bb-1.dist-info").mkdir()
    (on_path.folder / "bb-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bb\nVersion: 1\n")
    (on_path.folder / "bb-1.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nno equals sign\n")
    importlib.invalidate_caches()
    assert numbers.get("half") == Fraction(1, 2)
    assert numbers.get("ninth") == Fraction(1, 9)
    numbers.problems()


def test_a_half_uninstalled_distribution_harms_nobody(numbers: Numbers, on_path: Any) -> None:
    add(on_path, "aa", "ninth", "ninths:VALUE", fraction("1/9"))
    Path(on_path.folder / "aa-2.5.dist-info" / "METADATA").unlink()
    importlib.invalidate_caches()
    origin = numbers.origin("ninth")
    assert isinstance(origin.distribution, str)
    assert isinstance(origin.version, str)
    assert numbers.problems() == []


def test_a_missing_part_of_a_missing_package_is_a_status() -> None:
    card = EncoderCard(
        name="x", version=1, summary="", modalities=(), dim=1, weights="none", licence="none", tracks_per_second=1
    )
    status = EncoderSpec(card, factory="nowhere:build", requires=("package_that_nobody_has.part",)).status()
    assert status.state == "missing-package"
    assert status.next_step is not None


def test_every_built_in_encoder_loads_and_is_called_what_its_card_says() -> None:
    for name in ENCODERS.names():
        if ENCODERS.origin(name).built_in:
            assert ENCODERS.get(name).card.name == name

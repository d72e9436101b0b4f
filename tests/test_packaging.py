"""What is published: a wheel that is small and whole, a source distribution that tests itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHEEL_BYTES = 7_400_000
IN_SOURCE = (
    *("pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile"),
    *("constraints.txt", "mkdocs.yml", ".ci/run", ".github/workflows/ci.yml", "docs/index.md", "docs/cli.md"),
    *("results/demo/continuation.csv", "benchmarks/conftest.py", "examples/plugin/pyproject.toml", "tests/conftest.py"),
)


def files_below(folder):
    """Return the files of a folder of this checkout, without those that Python makes."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_wheel_is_small_and_holds_the_package_and_nothing_else(built):
    (path,) = built.glob("*.whl")
    assert path.stat().st_size < WHEEL_BYTES
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
        about = Parser().parsestr(wheel.read(metadata).decode())
    assert names == files_below("larpbench")
    links = {line.split(",")[0] for line in about.get_all("Project-URL")}
    assert links >= {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    versions = {each.rpartition(" :: ")[2] for each in about.get_all("Classifier") if "Python :: 3." in each}
    assert versions == {"3.11", "3.12", "3.13"}


def test_the_source_distribution_holds_all_that_its_tests_read(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(IN_SOURCE) <= names
    for folder in ("larpbench", "tests", "docs", "examples", "results/demo", ".ci"):
        assert files_below(folder) <= names, folder


def test_ci_runs_on_every_version_of_python_that_is_promised():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert 'python: ["3.11", "3.12", "3.13"]' in workflow


def levels_up(code):
    """Return how many folders each path that starts at ``__file__`` goes up."""
    for steps in re.findall(r"Path\(__file__\)((?:\.parents\[\d+\]|\.parent\b|\.resolve\(\))*)", code):
        numbers = [int(each) + 1 for each in re.findall(r"parents\[(\d+)\]", steps)]
        yield sum(numbers) + len(re.findall(r"\.parent\b", steps))


def test_nothing_outside_the_repository_is_looked_for():
    for path in sorted(
        [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("larpbench/**/*.py")]
    ):
        name, code = path.relative_to(ROOT), path.read_text(encoding="utf-8")
        assert max(levels_up(code), default=0) <= len(name.parts), f"{name} looks outside the repository"
        assert not re.search(r"""["'](\.\./)*\.\./(shared|main)""", code), name

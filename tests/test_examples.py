"""The examples do what their pages say; the plug-in has tests of its own."""

from __future__ import annotations

import ast
import base64
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import image
from support.small_data import build_split_tables
from support.small_larp import small_recipe

from larpbench import load_results
from larpbench.encoders.larp import specs

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_vectors_of_your_own(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, EXAMPLES / "my-vectors" / "make_data.py"], check=True)
    shutil.copy(EXAMPLES / "my-vectors" / "bench.toml", tmp_path)
    page = (EXAMPLES / "my-vectors" / "README.md").read_text(encoding="utf-8")
    for command in re.findall(r"^    larpbench (.*)$", page, re.MULTILINE):
        outcome = cli(*shlex.split(command))
        assert outcome.code == 0, f"{command}: {outcome.err}"
    (table,) = load_results("my-results")
    found = {row.encoder: row.scores["recall@10"] for row in table.rows}
    vectors = "precomputed:vectors.npz"
    assert table.rows[0].encoder == vectors
    assert found[vectors].low > 1.5 * table.chance["recall@10"]
    assert found["random"].low <= table.chance["recall@10"] <= found["random"].high
    assert (tmp_path / "my-report" / "index.html").is_file()
    whole, smoke = load_results("my-bench")
    assert (whole.variant, smoke.variant) == ("", "limit=20")
    labelled = {(row.encoder, row.recommender): row.scores["recall@10"] for row in whole.rows}
    mine = labelled["mine", "itemknn"]
    assert (mine.value, mine.low, mine.high) == (found[vectors].value, found[vectors].low, found[vectors].high)


@pytest.fixture
def compare():
    spec = importlib.util.spec_from_file_location("compare_example", EXAMPLES / "two-checkpoints" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_two_checkpoints(cli, compare, tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    data = build_split_tables(tmp_path / "one")
    towers = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'},tfidf"
    train = ("train", "larp", "--dataset", data.folder, "--towers", towers)
    folders = []
    for stages in ("wtc", "wtc,ttc"):
        trained = cli(*train, "--stages", stages)
        assert trained.code == 0, trained.err
        folders.append(re.findall(r"^  (/\S+)$", trained.out, re.MULTILINE)[-1])
    assert len(set(folders)) == 2
    found = compare([*folders, "--dataset", str(data.folder), "--output", str(tmp_path / "r")])
    assert "recall@10" in found
    assert "Paired over 10 playlists" in found


def cells_of(html):
    """Return the texts of a table's cells in order, without numbers."""
    texts = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", html, re.DOTALL)
    return [re.sub(r"<[^>]+>|[\d.,]+", "", text).strip() for text in texts]


def run_as_in_a_notebook(source, names):
    """Run a cell and return the value of its last line, None if that is no expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_stores_what_comes_out(with_demo, capsys):
    """Without jupyter. If this fails: python .ci/execute_notebook.py"""
    text = (EXAMPLES / "from-a-notebook.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/home/|/tmp/|/root|/Users/|\d{4}-\d\d-\d\dT", text)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    names, shown = {}, set()
    for number, cell in enumerate(cells, start=1):
        assert (cell["execution_count"], cell["metadata"]) == (number, {})
        capsys.readouterr()
        value = run_as_in_a_notebook("".join(cell["source"]), names)
        (output,) = cell["outputs"]
        if output["output_type"] == "stream":
            kept = [re.sub(r"[\d.]+", "", each) for each in ("".join(output["text"]), capsys.readouterr().out)]
            assert kept[0] == kept[1]
            shown.add("LaTeX")
            continue
        stored = {kind: "".join(content) for kind, content in output["data"].items()}
        if "image/png" in stored:
            pixels, now = (
                image.imread(io.BytesIO(each), format="png")
                for each in (base64.b64decode(stored["image/png"]), value._repr_png_())
            )
            assert pixels.shape == now.shape
            shown.add("figure")
        elif "text/html" in stored:
            assert cells_of(stored["text/html"]) == cells_of(value._repr_html_())
            shown.add(type(value).__name__)
        else:
            assert stored == {"text/plain": repr(value)}
    assert shown == {"Results", "EncoderComparison", "SliceTables", "DataFrame", "figure", "LaTeX"}

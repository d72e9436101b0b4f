"""Checkpoints of every family: one tensor that is not what it should be is refused by name; half precision is cast."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.small_clap import SHAPE, write_clap

from larpbench.checkpoint_tensors import TensorFacts, require_tensors
from larpbench.encoders.adapters.clamp3.files import CHECKPOINT as CLAMP3_FILE
from larpbench.encoders.adapters.hf_audio.reference import ENCODEC, HUBERT
from larpbench.encoders.adapters.hf_audio.tower_reference import TOWER_REFERENCES
from larpbench.encoders.adapters.laion_clap.encoder import WEIGHTS_FILE as LAION_FILE
from larpbench.encoders.adapters.musicnn import weights_path
from larpbench.encoders.adapters.musicnn.model import load_musicnn
from larpbench.encoders.baselines.clap import Clap, load_pretrained
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import get_encoder
from larpbench.encoders.towers.initial_weights import load_initial
from larpbench.errors import DataError


@dataclass(frozen=True)
class Family:
    """How a family's checkpoint is written and read.

    Attributes:
        write: Writes a tiny one into a folder.
        build: Builds what reads it.
        file: Its file, in the folder.
        tensor: The tensor that is spoilt.
        wrapper: Of a torch file, what the state dict lies under.
        requires: Package without which it cannot run.
        named: The tensor's name in messages, if it is another one.
    """

    write: Callable[[Path], Any]
    build: Callable[[Path], Any]
    tensor: str
    file: str = "model.safetensors"
    wrapper: str | None = None
    requires: str | None = None
    named: str | None = None

    def change(self, folder: Path, change: Callable[[dict], dict]) -> None:
        path = folder / self.file
        if path.suffix == ".safetensors":
            state = {name: each.contiguous() for name, each in change(load_file(path)).items()}
            save_file(state, path, {"format": "pt"})
            return
        content = torch.load(path, weights_only=False)
        state = change(content[self.wrapper] if self.wrapper else content)
        torch.save(content | {self.wrapper: state} if self.wrapper else state, path)


def on_folder(name: str) -> Callable[[Path], Any]:
    def build(folder: Path) -> Any:
        spec = get_encoder(name.format(folder))
        argument = spec.argument if spec.takes is None or spec.takes.startswith("[") else None
        return spec.factory(replace(EncodeContext(0, folder), weights=folder), argument)

    return build


def write_reference(name: str, folder: Path) -> None:
    get_encoder(name).reference.write(folder)


def of_hub(name: str, tensor: str, **fields: Any) -> Family:
    write = partial(write_reference, name.format("some/model"))
    return Family(fields.pop("write", write), on_folder(name), tensor, **fields)


def write_musicnn(folder: Path) -> None:
    shutil.copy(weights_path("mtt"), folder / "model.safetensors")


def write_factors(folder: Path) -> None:
    from larpbench.encoders.factors.settings import FactorsSettings
    from larpbench.training.settings import SETTINGS

    settings = FactorsSettings(views=("a", "b"), dims=(3, 2), factors=4, l2=1.0, weight=1.0)
    (folder / SETTINGS).write_text(settings.model_dump_json())
    save_file({"map": torch.rand(5, 4)}, folder / "model.safetensors")


def build_factors(folder: Path) -> Any:
    from larpbench.encoders.factors.encoder import FactorsEncoder
    from larpbench.encoders.factors.settings import FactorsRecipe

    encoder = FactorsEncoder(FactorsRecipe(views=("a", "b")))
    encoder.load(folder)
    return encoder


def build_trained(folder: Path) -> Any:
    """Larp, its heads and the baselines all read their weights by this function."""
    from larpbench.training.tensors import read_weights

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    read_weights(model, folder / "model.safetensors")
    return model


def write_trained(folder: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    save_file(model.state_dict(), folder / "model.safetensors")


def build_jukebox(folder: Path) -> Any:
    from larpbench.encoders.adapters.jukebox.encoder import load_vqvae

    return load_vqvae(folder / "vqvae.pth.tar")


def write_jukebox(folder: Path) -> None:
    from larpbench.encoders.adapters.jukebox import reference

    vqvae, _ = reference._models()
    torch.save({"model": {f"module.{name}": each for name, each in vqvae.state_dict().items()}}, folder / JUKEBOX_FILE)


JUKEBOX_FILE = "vqvae.pth.tar"
LAYER = "encoder.layers.1.attention.k_proj.weight"
OF_JUKEBOX = "encoders.2.level_blocks.0.model.0.0.weight"
OF_MUQ = "conformer.layers.3.self_attn.linear_q.weight"
MULAN_MUQ = "mulan.audio.model.model."
OF_LAION = "audio_branch.layers.0.blocks.0.attn.qkv.weight"
FAMILIES = {
    "clap": of_hub("clap-pt:audio", "audio_projection.linear1.weight"),
    "clap, text": of_hub("clap-pt:text", "text_projection.linear1.weight"),
    "bert": of_hub("bert", "encoder.layer.0.output.dense.weight"),
    "hubert": of_hub("hf-audio:{}", LAYER, write=HUBERT.write),
    "encodec": of_hub("hf-audio:{}", "encoder.layers.0.conv.bias", write=ENCODEC.write),
    **{
        kind: of_hub("hf-audio:{}", "audio_tower.layers.1.self_attn.k_proj.weight", write=reference.write)
        for kind, reference in TOWER_REFERENCES.items()
    },
    "mert": of_hub("mert-95m", LAYER, file="pytorch_model.bin"),
    "muq": of_hub("muq", f"model.{OF_MUQ}", named=OF_MUQ),
    "musicfm": of_hub("musicfm-msd", f"model.{OF_MUQ}", file="pretrained_msd.pt", wrapper="state_dict", named=OF_MUQ),
    "muq-mulan, audio": of_hub("muq-mulan:audio", "mulan.audio.proj.weight", file="pytorch_model.bin"),
    "muq-mulan, muq": of_hub("muq-mulan", f"{MULAN_MUQ}{OF_MUQ}", file="pytorch_model.bin", named=OF_MUQ),
    "muq-mulan, text": of_hub(
        "muq-mulan:text", "mulan.text.transformer.layers.3.0.to_kv.weight", file="pytorch_model.bin"
    ),
    "pe-audio": of_hub("pe-audio", "audio_encoder.layers.1.self_attn.k_proj.weight"),
    "pe-audio, text": of_hub("pe-audio:text", "text_model.layers.2.attn.Wqkv.weight"),
    "clamp3, audio": of_hub(
        "clamp3:audio", "audio_model.encoder.layer.1.output.dense.weight", file=CLAMP3_FILE, wrapper="model"
    ),
    "clamp3, text": of_hub("clamp3:text", "text_proj.bias", file=CLAMP3_FILE, wrapper="model"),
    "laion-clap": of_hub("laion-clap", f"module.{OF_LAION}", file=LAION_FILE, wrapper="state_dict", named=OF_LAION),
    "jukebox": Family(
        write_jukebox, build_jukebox, f"module.{OF_JUKEBOX}", JUKEBOX_FILE, "model", "jukebox_infer", OF_JUKEBOX
    ),
    "mule": of_hub("mule", "frontend.mel_fb", requires="mule_torch"),
    "openl3": of_hub("openl3", "conv2d_1.weight", file="torchopenl3_mel256_music_512.pth.tar", requires="torchopenl3"),
    "musicnn": Family(write_musicnn, lambda folder: load_musicnn(folder / "model.safetensors"), "dense.weight"),
    "factors": Family(write_factors, build_factors, "map"),
    "trained": Family(write_trained, build_trained, "0.weight"),
}


FAULTS = {  # fault -> what becomes of the tensor, by name; what is said beside the name
    "missing": (lambda name, each: {}, "missing"),
    "renamed": (lambda name, each: {f"{name}_": each}, "unexpected"),  # one too many, too
    "misshapen": (lambda name, each: {name: each[:-1].clone()}, "of another shape"),
    "integer": (lambda name, each: {name: each.to(torch.int64)}, "int64"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder of a family's checkpoint, written when it is first asked for."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if FAMILIES[family].requires:
            pytest.importorskip(FAMILIES[family].requires)
        if family not in made:
            made[family] = tmp_path_factory.mktemp("checkpoint")
            FAMILIES[family].write(made[family])
        return made[family]

    return of


@pytest.fixture
def copied(written, tmp_path):
    return lambda family: shutil.copytree(written(family), tmp_path / "checkpoint")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_one_wrong_tensor_is_refused_by_name(copied, family, fault):
    case, (spoil, says) = FAMILIES[family], FAULTS[fault]
    folder = copied(family)

    def change(state):
        assert case.tensor in state
        rest = {name: each for name, each in state.items() if name != case.tensor}
        return rest | spoil(case.tensor, state[case.tensor])

    case.change(folder, change)
    with pytest.raises(DataError) as caught:
        case.build(folder)
    error = caught.value
    assert (case.named or case.tensor) in error.what
    assert says in error.what
    assert error.where.endswith(case.file)
    assert "float16" in error.allowed
    assert error.next_step


HALVES = itertools.cycle((torch.float16, torch.bfloat16))


@pytest.mark.parametrize(("family", "dtype"), [*zip(FAMILIES, HALVES, strict=False)], ids=str)
def test_half_precision_is_cast_and_said(copied, capfd, family, dtype):
    case, folder = FAMILIES[family], copied(family)

    def change(state):
        return {name: each.to(dtype) if each.is_floating_point() else each for name, each in state.items()}

    case.change(folder, change)
    assert case.build(folder)
    name = str(dtype).removeprefix("torch.")
    said = [line for line in capfd.readouterr().err.splitlines() if name in line]
    assert len(said) == 1
    assert said[0].startswith(f"{case.file}: ")
    assert said[0].endswith(f"tensors are stored as {name} and cast to float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_right_one_is_taken_without_a_word(copied, capfd, family):
    assert FAMILIES[family].build(copied(family))
    assert capfd.readouterr().err == ""


def test_half_precision_changes_vectors_by_its_rounding_only(copied):
    case, folder = FAMILIES["hubert"], copied("hubert")
    batch = HUBERT.batch(16_000)
    exact = case.build(folder).encode(batch)
    case.change(folder, lambda state: {name: each.half() for name, each in state.items()})
    rounded = case.build(folder).encode(batch)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.linalg.norm(exact, axis=1).min()


@pytest.mark.parametrize(("family", "name"), [("hubert", "hf-audio:{}"), ("mert", "hf-audio:{}"), ("bert", "text:{}")])
def test_describe_says_how_they_are_stored(cli, copied, family, name):
    folder = copied(family)

    def said():
        done = cli("describe", "encoder", name.format(folder), "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["weights_stored_as"]

    assert said() == "float32"
    FAMILIES[family].change(folder, lambda state: {name: each.bfloat16() for name, each in state.items()})
    assert said() == "bfloat16: cast to float32"
    (folder / FAMILIES[family].file).write_bytes(b"no weights")
    assert said().startswith("no model can be read")


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("musicfm", "musicfm-msd@6"),
        ("muq", "muq"),
        ("muq-mulan, text", "muq-mulan"),
        ("clamp3, text", "clamp3"),
        ("laion-clap", "laion-clap"),
        ("openl3", "openl3"),
    ],
)
def test_describe_says_how_those_with_files_of_their_own_are_stored(cli, copied, family, name):
    """Whatever lies beside the tensors: the state of an optimizer, or numbers of numpy."""
    folder = get_encoder(name).weights.folder()
    shutil.copytree(copied(family), folder)
    done = cli("describe", "encoder", name, "--json")
    assert json.loads(done.out)["weights_stored_as"] == "float32", done.err
    case = FAMILIES[family]
    case.change(folder, lambda state: {key: each.half() if each.ndim else each for key, each in state.items()})
    assert json.loads(cli("describe", "encoder", name, "--json").out)["weights_stored_as"].startswith("float16")


def test_shards_are_named_one_by_one(copied):
    """The file that holds the tensor is named."""
    folder = copied("bert")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    index = {"metadata": {}, "weight_map": {name: file for file, each in parts.items() for name in each}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for file, each in parts.items():
        save_file({name: state[name] for name in each}, folder / file, {"format": "pt"})
    assert on_folder("bert")(folder)
    file, (wrong, *_) = "model-00002-of-00002.safetensors", parts["model-00002-of-00002.safetensors"]
    spoilt = {name: state[name].long() if name == wrong else state[name] for name in parts[file]}
    save_file(spoilt, folder / file, {"format": "pt"})
    with pytest.raises(DataError, match=f"'{wrong}'") as caught:
        on_folder("bert")(folder)
    assert caught.value.where.endswith(file)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("bert", ("cls.predictions.bias", "embeddings.position_ids")),
        ("hubert", ("lm_head.weight", "quantizer.codevectors", "masked_spec_embed")),
        ("clap", ("text_model.anything", "logit_scale_t", "audio_model.audio_encoder.batch_norm.num_batches_tracked")),
        ("clamp3, audio", ("text_model.anything", "symbolic_model.anything", "audio_model.pooler.dense.bias")),
        ("muq-mulan, audio", ("mulan.text.anything", "mulan.contrast.bias", f"{MULAN_MUQ}rvq.anything")),
        ("muq-mulan, text", ("mulan.audio.anything", "mulan.text.model.pooler.dense.bias")),
        ("laion-clap", ("module.text_branch.anything", "module.logit_scale_a", "module.audio_branch.head.bias")),
    ],
)
def test_parts_that_no_vector_depends_on_may_be_there(copied, capfd, family, names):
    case, folder = FAMILIES[family], copied(family)
    case.change(folder, lambda state: state | {name: state.get(name, torch.zeros(16)) for name in names})
    assert case.build(folder)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "complex64", "float8_e4m3fn"])
def test_numbers_that_nothing_computes_with(copied, dtype):
    case, folder = FAMILIES["bert"], copied("bert")
    case.change(folder, lambda state: state | {case.tensor: state[case.tensor].to(getattr(torch, dtype))})
    with pytest.raises(DataError, match=rf"'{case.tensor}' is \(16, 32\) .*, expected \(16, 32\) float32"):
        case.build(folder)


@given(
    expected=st.sets(st.sampled_from("abcd")),
    found=st.dictionaries(
        st.sampled_from("abcd"), st.sampled_from(["float32", "bfloat16", "float64", "int64", "bool"])
    ),
)
def test_only_what_fits_exactly_is_taken(expected, found):
    wanted = {name: TensorFacts((2, 3)) for name in expected}
    stored = {name: TensorFacts((2, 3), dtype) for name, dtype in found.items()}
    wrong = expected ^ found.keys() | {name for name, dtype in found.items() if "float" not in dtype}
    if not wrong:
        require_tensors(stored, wanted, "a model", Path("file"))
        return
    with pytest.raises(DataError) as caught:
        require_tensors(stored, wanted, "a model", Path("file"))
    named = [name for name in "abcd" if f"'{name}'" in caught.value.what]
    assert wrong.issuperset(named)
    assert len(named) >= min(len(wrong), 3)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_initial_weights_are_real_numbers(tmp_path, dtype):
    """Of CLAP and of towers, which may take a part of a checkpoint only."""
    model = write_clap(tmp_path)
    tensor = "audio_model.audio_encoder.layers.0.blocks.0.attention.self.query.weight"
    state = {name: each.contiguous() for name, each in model.state_dict().items()}
    save_file(state | {tensor: state[tensor].to(dtype)}, tmp_path / "model.safetensors", {"format": "pt"})
    for load in (
        lambda: load_pretrained(Clap(SHAPE), str(tmp_path)),
        lambda: load_initial(Clap(SHAPE).audio, str(tmp_path)),
    ):
        with pytest.raises(DataError, match=rf"'{tensor}' is \(8, 8\) {str(dtype).removeprefix('torch.')}"):
            load()


def test_initial_weights_of_clap_hold_nothing_else(tmp_path, capfd):
    model = write_clap(tmp_path)
    state = {name: each.contiguous() for name, each in model.state_dict().items()}
    save_file(state | {"audio_model.extra": torch.zeros(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"unexpected: .audio_model\.extra"):
        load_pretrained(Clap(SHAPE), str(tmp_path))
    capfd.readouterr()
    halves = {name: each.half() if each.is_floating_point() else each for name, each in state.items()}
    save_file(halves, tmp_path / "model.safetensors", {"format": "pt"})
    load_pretrained(Clap(SHAPE), str(tmp_path))
    assert "tensors are stored as float16 and cast to float32" in capfd.readouterr().err

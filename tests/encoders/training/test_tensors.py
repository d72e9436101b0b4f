"""Weights on disk: what was written is what is read, or an error that says what to do."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from larpbench.errors import DataError
from larpbench.training.tensors import read_tensors, read_weights, write_tensors

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(3),
    "none": torch.empty(0, 4),
}


def test_all_types_come_back(tmp_path):
    write_tensors(tmp_path / "a.safetensors", TENSORS, {"progress": "{}"})
    found = read_tensors(tmp_path / "a.safetensors")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor)


@pytest.mark.parametrize("place", [-1, -9, 12])
def test_flipped_bytes_are_found(tmp_path, place):
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"weight": torch.ones(2, 3)})
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged") as raised:
        read_tensors(path, "delete it")
    assert raised.value.next_step == "delete it"


def test_weights_say_what_to_do_and_those_of_earlier_versions_are_read(tmp_path):
    model, path = torch.nn.Linear(3, 2), tmp_path / "model.safetensors"
    write_tensors(path, model.state_dict())
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(DataError, match="is not what was written") as raised:
        read_weights(model, path)
    assert "restore it, or delete its folder" in raised.value.next_step
    save_file(model.state_dict(), path)
    other = torch.nn.Linear(3, 2)
    read_weights(other, path)
    assert torch.equal(other.weight, model.weight)

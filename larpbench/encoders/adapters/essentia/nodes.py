"""What can be known of a frozen TensorFlow graph without TensorFlow: whether its nodes and constants belong together.

Formats: tensorflow/core/framework/graph.proto, node_def.proto, attr_value.proto and tensor.proto. A graph brings its
own architecture, so that there is no list of tensors to compare with; a constant that no node reads does no harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from larpbench.encoders.weights.protobuf import wire_fields
from larpbench.errors import DataError, named

_SIZES = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1, 14: 2, 18: 16, 19: 2}
"""Bytes a number, by TensorFlow's code of its type."""
_FLOATING = {1: "float32", 2: "float64", 14: "bfloat16", 19: "float16"}
_OTHER = {3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64", 10: "bool", 18: "complex128"}
_OF_WEIGHTS = ("Add", "AddV2", "BiasAdd", "Conv2D", "DepthwiseConv2dNative", "MatMul", "Mul", "RealDiv", "Sub")
_NORMALISATION = "FusedBatchNorm"
_NEXT_STEP = "download the graph again from https://essentia.upf.edu/models/"


@dataclass
class _Node:
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    computes: int = 0  # type of its numbers
    holds: int = 0  # type of a constant
    shape: tuple[int, ...] = ()
    content: int | None = None  # bytes of a constant


def check_nodes(path: Path, output: str) -> None:
    """Refuse a graph some of whose nodes are missing, or whose constants are not what the nodes compute with.

    Args:
        path: The ``.pb`` file.
        output: Name of the node that gives the embeddings.

    Raises:
        DataError: If it is damaged, or such a node; it is named.
    """
    try:
        nodes = dict(_node(value) for number, value in wire_fields(path.read_bytes()) if number == 1)
    except (IndexError, ValueError, TypeError, DataError) as error:
        raise DataError("this file is no frozen graph of TensorFlow", where=str(path), next_step=_NEXT_STEP) from error
    wanted = {_plain(each) for node in nodes.values() for each in node.inputs} | {_plain(output)}
    if missing := sorted(wanted - nodes.keys()):
        raise DataError(
            f"the graph has no node {named(missing, 3)}, which other nodes or its description need",
            where=str(path),
            allowed="a graph with all of its nodes",
            next_step=_NEXT_STEP,
        )
    for name, node in nodes.items():
        if node.content is not None and node.content != math.prod(node.shape) * _SIZES.get(node.holds, 1):
            raise DataError(
                f"the constant {name!r} has {node.content} bytes, which are not {' x '.join(map(str, node.shape))} "
                f"numbers of type {_type(node.holds)}",
                where=str(path),
                next_step=_NEXT_STEP,
            )
        if not (node.op in _OF_WEIGHTS or node.op.startswith(_NORMALISATION)) or node.computes not in _FLOATING:
            continue
        for each in node.inputs:
            source = _source(nodes, _plain(each))
            if nodes[source].op == "Const" and nodes[source].holds not in _FLOATING:
                raise DataError(
                    f"the constant {source!r} is {_type(nodes[source].holds)}, and {name!r} computes with it",
                    where=str(path),
                    allowed=_FLOATING[node.computes],
                    next_step=_NEXT_STEP,
                )


def _node(raw: int | bytes) -> tuple[str, _Node]:
    name, node = "", _Node()
    for number, value in wire_fields(_bytes(raw)):
        if number == 1:
            name = _bytes(value).decode()
        elif number == 2:
            node.op = _bytes(value).decode()
        elif number == 3:
            node.inputs.append(_bytes(value).decode())
        elif number == 5:
            entry = dict(wire_fields(_bytes(value)))
            key, attribute = _bytes(entry.get(1, b"")), dict(wire_fields(_bytes(entry.get(2, b""))))
            if key == b"T":
                node.computes = int(attribute.get(6, 0))
            elif key == b"value" and 8 in attribute:
                _hold(node, _bytes(attribute[8]))
    return name, node


def _hold(node: _Node, tensor: bytes) -> None:
    for number, value in wire_fields(tensor):
        if number == 1:
            node.holds = int(value)
        elif number == 2:
            sizes = (dict(wire_fields(_bytes(each))) for kind, each in wire_fields(_bytes(value)) if kind == 2)
            node.shape = tuple(int(size.get(1, 0)) for size in sizes)
        elif number == 4:
            node.content = len(_bytes(value))


def _source(nodes: dict[str, _Node], name: str) -> str:
    """Return where numbers come from that are only handed on."""
    for _ in nodes:
        if nodes[name].op != "Identity" or not nodes[name].inputs:
            break
        name = _plain(nodes[name].inputs[0])
    return name


def _plain(name: str) -> str:
    """Return the node that an input names, without the number of its output."""
    return name.removeprefix("^").partition(":")[0]


def _type(code: int) -> str:
    return (_FLOATING | _OTHER).get(code, f"type {code} of TensorFlow")


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a number where bytes belong")
    return value

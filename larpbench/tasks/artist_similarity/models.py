"""The network: an encoder of features, graph layers of PyTorch Geometric, and a head (the paper's, section 3.1).

Linear(d, 256), batch norm; L times graph layer, ELU, scaling to length 1; Linear(256, 256), ReLU, Linear(256, 256),
Linear(256, 100), scaled to length 1. Only this module imports torch_geometric, and only where L > 0.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from larpbench.errors import MissingPartError
from larpbench.tasks.artist_similarity.settings import INSTALL, LayerKind, graph_layers_installed

_HEADS = 4
_SUMMING: tuple[LayerKind, ...] = ("sage", "gin")


def graph_layer(kind: LayerKind, width: int) -> nn.Module:
    """Return one graph layer from `width` to `width` numbers.

    ``sage``: GraphSAGE, mean of projected neighbours (Hamilton et al. 2017); ``gatedgcn``: residual gated graph
    convolution (Bresson & Laurent 2017); ``gin``: graph isomorphism network (Xu et al. 2019); ``gat``: graph attention
    (Velickovic et al. 2018), 4 heads.

    Raises:
        MissingPartError: If torch_geometric is not installed.
    """
    if not graph_layers_installed():
        raise MissingPartError("graph layers need torch_geometric, which is not installed", next_step=INSTALL)
    from torch_geometric import nn as layers

    if kind == "sage":
        return layers.SAGEConv(width, width, aggr="mean", project=True)
    if kind == "gatedgcn":
        return layers.ResGatedGraphConv(width, width)
    if kind == "gin":
        return layers.GINConv(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)))
    return layers.GATConv(width, width // _HEADS, heads=_HEADS)


class ArtistNet(nn.Module):
    """Features and messages to artist vectors.

    Args:
        dim: Length of the features.
        kind: Of the graph layers.
        n_layers: How many; 0 makes it a plain network that sees no edge.
        width: Of all layers.
        output: Length of the vectors.
    """

    def __init__(self, dim: int, kind: LayerKind, n_layers: int, width: int, output: int) -> None:
        super().__init__()
        self.kind = kind
        self.encoder = nn.Linear(dim, width)
        self.norm = nn.BatchNorm1d(width)
        self.layers = nn.ModuleList(graph_layer(kind, width) for _ in range(n_layers))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Linear(width, output))

    def prepared(self, messages: torch.Tensor, n_artists: int) -> torch.Tensor:
        """Return messages as the layers take them fastest.

        Args:
            messages: (2, m) int64, from the artists of the first row to those of the second; none is there twice.
            n_artists: Number of artists.

        Returns:
            A sparse matrix with a row for each receiver, where the layers only sum or average (half the time of the
            same sums over a list of messages); else the messages as they are.
        """
        if not self.layers or self.kind not in _SUMMING:
            return messages
        ones = torch.ones(messages.shape[1], device=messages.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its interface may change
            return torch.sparse_coo_tensor(messages.flip(0), ones, (n_artists, n_artists)).coalesce().to_sparse_csr()

    def forward(self, features: torch.Tensor, messages: torch.Tensor) -> torch.Tensor:
        """Return (n, output) float32 of length 1.

        Args:
            features: (n, dim) float32.
            messages: As `prepared` returns them.
        """
        hidden = self.norm(self.encoder(features))
        for layer in self.layers:
            hidden = F.normalize(F.elu(layer(hidden, messages)))
        return F.normalize(self.head(hidden))

"""The text tower: BERT, of which the vector of the first token is kept."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from larpbench.encoders.towers.audio_tower import in_chunks
from larpbench.encoders.towers.settings import BertSettings
from larpbench.errors import UsageError
from larpbench.training.ranks import ALONE


class TextTower(nn.Module):
    """Token ids to vectors.

    Args:
        settings: Shape. Weights are random.

    Attributes:
        width: Length of the vectors.
        chunk: Captions whose activations are in memory at once; None for all of a batch.
        ranks: The processes that share the rows of a batch.

    Raises:
        UsageError: If the shape is impossible.
    """

    def __init__(self, settings: BertSettings) -> None:
        from transformers import BertConfig, BertModel

        if settings.hidden % settings.heads:
            raise UsageError(
                f"a text tower of width {settings.hidden} cannot have {settings.heads} heads",
                allowed="a divisor of the width",
            )
        if settings.max_tokens > settings.positions:
            raise UsageError(
                f"{settings.max_tokens} tokens are more than the text tower has positions",
                allowed=f"at most {settings.positions}",
            )
        super().__init__()
        self.settings = settings
        self.width = settings.hidden
        self.chunk: int | None = None
        self.ranks = ALONE
        config = BertConfig(
            vocab_size=settings.vocabulary,
            hidden_size=settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            intermediate_size=settings.intermediate,
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.dropout,
            max_position_embeddings=settings.positions,
            initializer_range=settings.initial_std,
        )
        self.bert: Any = BertModel(config, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (n, width): the last hidden state of position 0.

        Args:
            input_ids: (n, tokens) int64, padded.
            attention_mask: (n, tokens), 1 where there is a token and 0 where padding is.
        """
        return in_chunks(self._encode, self.chunk, input_ids, attention_mask, ranks=self.ranks)

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]

    def drop_token_types(self) -> None:
        """Set the token types to 0, where LARP's text tower has none: captions are of one type."""
        nn.init.zeros_(self.bert.embeddings.token_type_embeddings.weight)

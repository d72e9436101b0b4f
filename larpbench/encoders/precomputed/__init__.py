"""Vectors that somebody computed elsewhere: ``precomputed:PATH`` or ``precomputed:PATH#COLUMN``.

The content of a file decides its format, not its name:

* Parquet, or a folder of Parquet files, with a column of ids (`ID_NAMES`) and a column of vectors (`VECTOR_NAMES`) of
  lists, arrays or Arrow tensors;
* CSV or TSV with a header, a column of ids, and one number a column, or one column of lists as text;
* ``.npz``, ``.safetensors``, HDF5 and ``.pt`` with an array of ids and an array of vectors of these names, or with one
  array for each id;
* ``.npy``, and any of these without ids of its own, with the ids in a file beside it (`ids_beside`);
* a folder of one ``.npy`` a track, whose name is the id.

``#COLUMN`` names another column or array of vectors. Nothing is unpickled but arrays of text, by a reader that accepts
nothing else.
"""

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.precomputed.columns import with_column
from larpbench.encoders.precomputed.encoder import VectorTable, build_precomputed, check_precomputed, precomputed_digest
from larpbench.encoders.spec import EncoderSpec

__all__ = ["PRECOMPUTED", "VectorTable", "build_precomputed", "check_precomputed", "precomputed_digest", "with_column"]

PRECOMPUTED = EncoderSpec(
    EncoderCard(
        name="precomputed",
        version=1,
        summary="your own vectors, from a file or folder",
        modalities=(),
        dim=None,
        weights="those of the file",
        licence="that of the file",
        training_data="unknown",
        tracks_per_second=200_000,
    ),
    factory=build_precomputed,
    takes="FILE",
    digest=precomputed_digest,
    check=check_precomputed,
    in_place=True,
)

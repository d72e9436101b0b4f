"""The same vectors in every form in which people keep them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

Writer = Callable[[Path, list[str], np.ndarray], str]


def npz(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.savez_compressed(folder / "v.npz", ids=np.array(ids), embeddings=vectors.astype(np.float64))
    return "v.npz"


def npz_bytes(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.savez(folder / "v.npz", track_ids=np.array([each.encode() for each in ids]), vectors=vectors.astype(">f4"))
    return "v.npz"


def npz_objects(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.savez(folder / "v.npz", ids=np.array(ids, dtype=object), embeddings=np.asfortranarray(vectors))
    return "v.npz"


def npz_of_tracks(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.savez(folder / "v.npz", **dict(zip(ids, vectors, strict=True)))
    return "v.npz"


def npz_of_another_name(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.savez(folder / "v.npz", ids=np.array(ids), embeddings=vectors[::-1], clap=vectors)
    return "v.npz#clap"


def npy_named_npz(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.save(folder / "v.npy", vectors)
    (folder / "v.npy").rename(folder / "v.npz")
    (folder / "v.ids.txt").write_text("\n".join(ids) + "\n")
    return "v.npz"


def npz_named_npy(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    npz(folder, ids, vectors)
    (folder / "v.npz").rename(folder / "v.npy")
    return "v.npy"


def npy(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.save(folder / "v.npy", vectors)
    (folder / "v.ids.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(ids).encode())
    return "v.npy"


def npy_beside_parquet(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.save(folder / "v.npy", vectors)
    pl.DataFrame({"row": range(len(ids)), "track_id": ids}).write_parquet(folder / "v.parquet")
    return "v.npy"


def npy_beside_csv(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.save(folder / "v.npy", vectors)
    pl.DataFrame({"anything": ids}).write_csv(folder / "v.ids.csv")
    return "v.npy"


def npy_beside_objects(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    np.save(folder / "v.npy", vectors)
    np.save(folder / "ids.npy", np.array(ids, dtype=object))
    return "v.npy"


def npy_folder(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    for number, (name, vector) in enumerate(zip(ids, vectors, strict=True)):
        file = folder / "v" / str(number % 3) / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, vector if number % 2 else vector[None])
    (folder / "v" / "README.md").write_text("mine")
    (folder / "v" / "._x.npy").write_bytes(b"what a Mac leaves")
    return "v"


def npy_folder_of_odd_names(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    for name, vector in zip(ids, vectors, strict=True):
        (folder / "v" / f"_{name[-1]}").mkdir(parents=True, exist_ok=True)
        np.save(folder / "v" / f"_{name[-1]}" / f"{name}.wav.npy", vector)
    np.save(folder / "v" / "_and-one.npy", vectors[0])
    return "v"


def safetensors_inside(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    save_file({"embeddings": vectors}, folder / "v.safetensors", {"ids": json.dumps(ids)})
    return "v.safetensors"


def safetensors_beside(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    save_torch({"embeddings": torch.from_numpy(vectors).to(torch.bfloat16)}, folder / "v.safetensors")
    (folder / "v.ids.txt").write_text("\n".join(ids) + "\n")
    return "v.safetensors"


def safetensors_half(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    save_file({"embeddings": vectors.astype(np.float16)}, folder / "v.safetensors", {"ids": json.dumps(ids)})
    return "v.safetensors"


def parquet_list(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    pl.DataFrame({"track_id": ids, "embedding": vectors.tolist()}).write_parquet(folder / "v.parquet")
    return "v.parquet"


def parquet_array(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    table = pl.DataFrame({"uri": [each.encode() for each in ids], "embed": vectors, "normalized_embed": vectors / 2})
    table.write_parquet(folder / "v.pq")
    return "v.pq"


def parquet_column(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    table = pl.DataFrame({"id": ids, "embedding": vectors.tolist(), "audio-laion_clap": vectors.tolist()})
    table.with_columns(pl.col("embedding").list.reverse()).write_parquet(folder / "v.parquet")
    return "v.parquet#audio-laion_clap"


def parquet_holes(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    rows = [None, *vectors[:5].tolist(), [], *vectors[5:].tolist(), None]
    names = ["hole-1", *ids[:5], "hole-2", *ids[5:], "hole-3"]
    pl.DataFrame({"track_id": names, "embedding": rows}).write_parquet(folder / "v.parquet")
    return "v.parquet"


def parquet_shards(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    (folder / "v").mkdir()
    for number, start in enumerate(range(0, len(ids), 50)):
        rows = slice(start, start + 50)
        table = pl.DataFrame({"track_id": ids[rows], "features": vectors[rows].astype(np.float64)})
        table.write_parquet(folder / "v" / f"part-{number:05d}.snappy.parquet")
    (folder / "v" / "_SUCCESS").touch()
    (folder / "v" / ".part-00000.snappy.parquet.crc").write_bytes(b"crc")
    return "v"


def tensor_column(name: str, metadata: str, storage: pl.DataType) -> Writer:
    def write(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
        values = pl.Series("embedding", vectors.tolist(), dtype=pl.List(pl.Float32)).cast(storage)
        table = pl.DataFrame([pl.Series("id", ids), values.ext.to(pl.Extension(name, storage, metadata))])
        table.write_parquet(folder / "v.parquet")
        return "v.parquet"

    return write


def torch_dict(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    torch.save({"ids": ids, "embeddings": torch.from_numpy(vectors).to(torch.bfloat16)}, folder / "v.pt")
    return "v.pt"


def torch_of_tracks(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    torch.save({name: torch.from_numpy(row.copy()) for name, row in zip(ids, vectors, strict=True)}, folder / "v.pth")
    return "v.pth"


def torch_legacy(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    torch.save(torch.from_numpy(vectors), folder / "v.pt", _use_new_zipfile_serialization=False)
    (folder / "v.ids.txt").write_text("\n".join(ids))
    return "v.pt"


def csv_numbers(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    pl.DataFrame({"id": ids, **{f"d{number}": vectors[:, number] for number in range(16)}}).write_csv(folder / "v.csv")
    return "v.csv"


def tsv_numbers(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    table = pl.DataFrame({**{str(number): vectors[:, number] for number in range(16)}, "track_id": ids})
    table.write_csv(folder / "v.tsv", separator="\t")
    return "v.tsv"


def csv_of_pandas(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    table = pl.DataFrame({"": ids, **{str(number): vectors[:, number] for number in range(16)}})
    (folder / "v.csv").write_bytes(b"\xef\xbb\xbf" + table.write_csv(line_terminator="\r\n").encode())
    return "v.csv"


def csv_lists(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    texts = [json.dumps(row) if number % 2 else str(np.array(row)) for number, row in enumerate(vectors.tolist())]
    pl.DataFrame({"track_id": ids, "embedding": texts}).write_csv(folder / "v.csv", separator=";")
    return "v.csv"


def hdf5(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    import h5py

    with h5py.File(folder / "v.h5", "w") as archive:
        archive["ids"], archive["embeddings"] = ids, vectors
    return "v.h5"


def hdf5_of_tracks(folder: Path, ids: list[str], vectors: np.ndarray) -> str:
    import h5py

    with h5py.File(folder / "v.hdf5", "w") as archive:
        for name, row in zip(ids, vectors, strict=True):
            archive[f"split/{name}"] = row
    return "v.hdf5"


FORMATS: dict[str, Writer] = {
    each.__name__: each
    for each in (
        *(npz, npz_bytes, npz_objects, npz_of_tracks, npz_of_another_name, npy_named_npz, npz_named_npy),
        *(npy, npy_beside_parquet, npy_beside_csv, npy_beside_objects),
        *(npy_folder, npy_folder_of_odd_names),
        *(safetensors_inside, safetensors_beside, safetensors_half),
        *(parquet_list, parquet_array, parquet_column, parquet_holes, parquet_shards),
        *(torch_dict, torch_of_tracks, torch_legacy, csv_numbers, tsv_numbers, csv_of_pandas, csv_lists),
        *((hdf5, hdf5_of_tracks) if importlib.util.find_spec("h5py") else ()),
    )
} | {
    "ray_v1": tensor_column("ray.data.arrow_tensor", "[16]", pl.List(pl.Float32)),
    "ray_v2": tensor_column("ray.data.arrow_tensor_v2", "[16]", pl.List(pl.Float32)),
    "fixed_shape_tensor": tensor_column("arrow.fixed_shape_tensor", '{"shape":[16]}', pl.Array(pl.Float32, 16)),
}

"""``larpbench layers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options, printing
from larpbench.streams import aside

EPILOG = """Examples:

larpbench layers hf-audio:facebook/hubert-base-ls960 --dataset my-data

larpbench layers mert-95m --dataset my-data --output layers.svg

larpbench layers muq:pool=mean+std --dataset my-data --format csv

larpbench run --encoders mert-95m@best --dataset my-data"""


def layers(
    encoder: Annotated[
        str, typer.Argument(help="Encoder name without a layer, such as mert-95m or mert-95m:pool=max.")
    ],
    dataset: options.DatasetName = "demo",
    output: Annotated[
        Path | None, typer.Option("--output", help="Also draw the recalls into this file, .svg or .png.")
    ] = None,
    format_: printing.Format = None,
    as_json: options.Json = False,
) -> None:
    """Compare the layers of a model on valid.

    Prints recall@10 (itemknn) of every layer with chance and intervals, and names the best. All layers come from one
    pass through the model. The test split is not read; run NAME@best, or the layer itself, to test it once.
    """
    from larpbench.benchmark.layers import (
        compare_layers,
        layers_figure,
        layers_sheet,
        require_figure_path,
        write_figure,
    )
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.layers import with_every_layer
    from larpbench.encoders.names import get_encoder

    chosen = printing.chosen_format(format_, as_json)
    path = None if output is None else require_figure_path(output)
    with aside():
        with_every_layer(encoder)  # a wrong name need not wait for the data set
        data = load_dataset(dataset)
        recalls, names = compare_layers(encoder, data)
        shown = get_encoder(encoder).identity  # without the folders that it lies in
    sheet = layers_sheet(shown, data, recalls, names)
    if path is not None:
        write_figure(layers_figure(shown, data, recalls), path)
    printing.print_sheets([sheet], chosen)
    if path is not None:
        typer.echo(f"figure: {path}", err=True)

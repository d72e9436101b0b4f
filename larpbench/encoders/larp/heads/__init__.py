"""Heads: linear maps of frozen views, trained with LARP's losses, beside the views that they stand on."""

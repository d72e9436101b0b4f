"""What the harness does with any encoder: batching, keys, the embedding store, scaling, training."""

"""Training by gradients: the loop, early stopping, settings and files of tensors, for all that learns."""

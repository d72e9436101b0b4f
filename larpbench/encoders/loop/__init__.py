"""The training loop of every encoder that is trained here: schedule, early stopping on validation, resume."""

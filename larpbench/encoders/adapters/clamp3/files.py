"""The files of CLaMP 3: its own checkpoint, and the folder of MERT beside it."""

from __future__ import annotations

SAMPLE_RATE = 24_000
"""Hz."""
CHECKPOINT = (
    "weights_clamp3_saas_h_size_768_t_model_FacebookAI_xlm-roberta-base_t_length_128_a_size_768_a_layers_12_"
    "a_length_128_s_size_768_s_layers_12_p_size_64_p_length_512.pth"
)
"""The one that its authors recommend for audio."""
MERT_FOLDER = "MERT-v1-95M"

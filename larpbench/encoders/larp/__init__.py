"""LARP (Salganik et al., KDD 2024): language-audio relational pre-training, in three contrastive stages."""

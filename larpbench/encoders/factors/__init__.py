"""Factors: frozen vectors beside their ridge prediction of the playlist matrix's singular vectors."""

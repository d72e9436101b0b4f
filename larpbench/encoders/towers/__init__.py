"""Parts of networks that several encoders share: audio and text towers, tokens, mel spectrograms, pair sampling."""

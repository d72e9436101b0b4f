"""Recommenders of cold tracks for listeners who are known: each listener has a factor, learnt on train."""

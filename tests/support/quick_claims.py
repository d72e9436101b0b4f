"""How fast claims are kept alive, and lapse, in tests: seconds."""

BEAT, LAPSE = 0.02, 0.4

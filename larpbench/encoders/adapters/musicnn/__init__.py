"""musicnn: music tagging networks of Pons & Serra (2019) as encoders, with the published weights."""

"""Typical true parameters of the two built-in models."""

from homodyne_bayes.model_files import MODELS

LAMINAR = dict(MODELS["laminar_flow"].example)
STATIC = dict(MODELS["static"].example)

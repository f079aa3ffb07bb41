"""reddiff: restore damaged pictures with one diffusion prior (RED-diff, arXiv 2305.04391)."""

__version__ = "0.1.0"

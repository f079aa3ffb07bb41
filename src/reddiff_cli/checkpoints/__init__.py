"""Priors as files: by name, in folders, on the Hub, and the cards that say how to use them."""

"""Holes: what kind they are, and what fills them before the prior does."""

"""The machine: its devices, its memory, and how much is computed on it at once."""

"""The network behind a prior: its layers, its weights as files, other dialects of both."""

"""Devices by name, as far as they can be told without looking for them."""

import re

from ..errors import UsageError

# `auto@N` and `cuda@N` are what a launcher's processes get (planning/shards.py).
_NAME = re.compile(r"(auto|cuda)(@\d{1,5})?|cuda:\d{1,3}|cpu|mps")


def check_device(name: str) -> None:
    """UsageError for what names no device on any machine."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"--device {name}: unknown; use auto, cpu, cuda, cuda:N, mps")

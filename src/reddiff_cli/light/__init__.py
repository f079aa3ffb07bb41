"""Light and the values that stand for it: camera responses, luma, tone mapping."""

"""Kernels of blurs and filters of reductions: their shapes, their files, as tensors."""

"""Algorithms that restore x from y = A(x) + noise with a denoiser; they know only tensors."""

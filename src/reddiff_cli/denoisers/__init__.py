"""The network as one function (z, t) -> D, and what lies between it and the solvers."""

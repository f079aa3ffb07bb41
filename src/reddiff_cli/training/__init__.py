"""Training a prior: photographs, the loss, weights and their average, and how good it is."""

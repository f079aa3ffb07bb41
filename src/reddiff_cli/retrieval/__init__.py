"""Phase retrieval: diffraction measurements, from files to a search and its refinement."""

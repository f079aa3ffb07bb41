"""Picture files and files of arrays: pixels, and whatever else each kind of file holds."""

"""What a picture tells of its own noise and blur, from flat places and from its spectrum."""

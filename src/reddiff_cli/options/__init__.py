"""What the user asked for, as plain data, checked before anything is read."""

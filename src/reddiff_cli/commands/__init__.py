"""The commands of the command line: the flags they share, and those of one command each."""

"""`reddiff eval`: clean pictures are damaged, restored by several methods, and compared."""

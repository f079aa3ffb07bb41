"""Pictures and masks: in memory, in files, and as the prior is shown them."""

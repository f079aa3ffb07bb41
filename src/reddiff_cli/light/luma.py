"""Grey as ITU-R BT.601 weighs red, green and blue: that of JFIF files, and of Pillow's `L`."""

REC601 = (0.299, 0.587, 0.114)

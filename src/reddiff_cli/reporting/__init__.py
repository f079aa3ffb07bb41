"""What people and scripts see: stderr and stdout, bars, lines and tables."""

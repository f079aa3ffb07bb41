"""What a run will do, decided before it does it: jobs, names, records, what must fail."""

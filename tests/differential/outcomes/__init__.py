"""What each client recorded, as one normal form; the rules by which the volatile becomes comparable."""

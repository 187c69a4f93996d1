"""Opening a catalog that may be lost, making it anew, reading everything again, and giving records back."""

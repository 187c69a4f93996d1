"""What can be logged beside plain values; each type is loaded when first used."""

"""The peers: their virtual environments, and one script for each that uses it as its users do."""

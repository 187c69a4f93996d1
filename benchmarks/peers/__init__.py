"""The peers: their virtual environments, and one module for each that uses the peer as its users do."""

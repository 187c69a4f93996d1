"""What the product costs, each figure beside a floor or a peer measured in the same run; see README.md."""

"""What to remove: scores (`criteria`), the masks made of them (`masks`), and the smaller network (`compact`)."""

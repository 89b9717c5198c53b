"""Small scopes, exhaustively: the core's own machines through every interleaving of a few nodes and records."""

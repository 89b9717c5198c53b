"""The replicated cluster state: nodes, topics, segments, cursors."""

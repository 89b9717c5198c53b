"""Raft: leader election, log replication and membership of the metadata group."""

"""Quorum arithmetic, apart from the machine that uses it."""


def majority(voters: int) -> int:
    """Return how many of ``voters`` make a quorum: any two quorums share a voter."""
    return voters // 2 + 1


def quorum_value(values: list[int]) -> int:
    """Return the largest value that a majority of ``values`` (one per voter) has reached; 0 for none."""
    if not values:
        return 0
    return sorted(values, reverse=True)[majority(len(values)) - 1]

"""How long a machine runs, in proportion to the profile that was chosen (see tests/conftest.py)."""

from hypothesis import HealthCheck, settings


def sized(examples: int, steps: int) -> settings:
    """``examples`` stories of at most ``steps`` steps where the profile has a hundred examples."""
    share = settings().max_examples / 100
    return settings(
        max_examples=max(1, round(examples * share)),
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow],
    )

"""Settings that every test shares."""

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # a machine with a device may have no more than its tests need
    pass
else:
    # Derandomised: a run on one machine is the run on every machine. No deadlines: nothing here may
    # depend on how busy the machine is.
    settings.register_profile(
        "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("repeatable")

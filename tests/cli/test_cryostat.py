"""The physics: set point, ramp, time constant and noise, without a server."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from lab_utils_mt._cli.cryostat import Stage, make_stages


def make_stage(noise: float = 0.0, time_constant: float = 10.0) -> Stage:
    """Return a stage that rests at 100 K."""
    return Stage("still", 1.0, time_constant, noise, kelvin=100.0, chance=random.Random(7))


def test_a_stage_that_is_left_alone_keeps_its_temperature() -> None:
    """Steady state, also after a long time."""
    stage = make_stage()
    assert [stage.kelvin(now) for now in (0.0, 1.0, 1e6)] == [100.0] * 3


def test_the_distance_from_a_new_set_point_falls_by_e_in_a_time_constant() -> None:
    """A first-order system."""
    stage = make_stage(time_constant=10.0)
    stage.set(5.0, 20.0)

    assert stage.setpoint(5.0) == 20.0
    assert stage.kelvin(5.0) == pytest.approx(100.0)
    assert stage.kelvin(15.0) == pytest.approx(20.0 + 80.0 / math.e)
    assert stage.kelvin(500.0) == pytest.approx(20.0)


@pytest.mark.parametrize("target", [40.0, 160.0])
def test_the_set_point_ramps_at_the_given_rate(target: float) -> None:
    """In K per minute, up or down, and stops at the target."""
    stage = make_stage()
    stage.ramp(60.0, target, 30.0)
    sign = math.copysign(1.0, target - 100.0)

    assert stage.setpoint(60.0) == pytest.approx(100.0)
    assert stage.setpoint(120.0) == pytest.approx(100.0 + sign * 30.0)
    assert stage.setpoint(180.0) == pytest.approx(target)
    assert stage.setpoint(1e5) == pytest.approx(target)


def test_on_a_long_ramp_the_stage_lags_by_rate_times_time_constant() -> None:
    """The known error of a first-order system that follows a ramp."""
    stage = make_stage(time_constant=10.0)
    stage.ramp(0.0, 40.0, 6.0)  # 0.1 K/s for 600 s

    assert stage.kelvin(300.0) - stage.setpoint(300.0) == pytest.approx(1.0)
    assert stage.kelvin(610.0) == pytest.approx(40.0 + 1.0 / math.e)


def test_the_exact_solution_agrees_with_many_small_steps() -> None:
    """dT/dt = (T_s - T) / tau, integrated bluntly, with two changes of course under way."""
    stage = make_stage(time_constant=10.0)
    stage.ramp(0.0, 10.0, 120.0)
    kelvin, step = 100.0, 0.001
    for index in range(60_000):
        now = index * step
        if index == 20_000:
            stage.ramp(now, 50.0, 300.0)
        if index == 25_000:
            stage.set(now, 5.0)
        kelvin += step * (stage.setpoint(now) - kelvin) / 10.0
    assert stage.kelvin(60.0) == pytest.approx(kelvin, rel=1e-3)


def test_a_change_of_course_makes_no_jump() -> None:
    """The temperature is continuous, and so is the set point of a ramp."""
    stage = make_stage()
    stage.ramp(0.0, 10.0, 60.0)
    before = stage.kelvin(20.0), stage.setpoint(20.0)
    stage.ramp(20.0, 150.0, 5.0)
    assert (stage.kelvin(20.0), stage.setpoint(20.0)) == pytest.approx(before)


def test_readings_scatter_by_the_relative_noise() -> None:
    """Around the true temperature, and never at or below 0 K."""
    stage = make_stage(noise=0.02)
    readings = [stage.read(1.0) for _ in range(4000)]

    assert statistics.mean(readings) == pytest.approx(100.0, rel=0.002)
    assert statistics.stdev(readings) == pytest.approx(2.0, rel=0.1)
    assert min(readings) > 0.0


def test_a_cryostat_gets_cold_in_a_quarter_of_an_hour() -> None:
    """All stages come near their base temperatures from room temperature."""
    for stage in make_stages().values():
        stage.ramp(0.0, stage.base, 60.0)
        assert stage.kelvin(0.0) == pytest.approx(295.0)
        assert stage.kelvin(1800.0) == pytest.approx(stage.base, rel=0.05)

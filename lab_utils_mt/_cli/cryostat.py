"""How warm is a simulated cryostat, and what do its thermometers say?

The controller of a stage moves its set point to the target, at once or along a ramp. The stage
follows the set point T_s with its time constant tau, dT/dt = (T_s - T) / tau. For a straight ramp
that has an exact solution, so it does not matter how often anybody looks.
"""

from __future__ import annotations

import dataclasses
import math
import random
import threading

ROOM = 295.0  # K
HOTTEST = 400.0  # K


@dataclasses.dataclass(frozen=True)
class Course:
    """What a stage does from one command to the next.

    Attributes:
        begun: When the command came, in s.
        kelvin: The temperature at that time.
        setpoint: The set point at that time, in K.
        target: Where the set point goes, in K.
        rate: How fast, in K/s; infinite: at once.
    """

    begun: float
    kelvin: float
    setpoint: float
    target: float
    rate: float

    @property
    def slope(self) -> float:
        """The ramp's rate with its sign, in K/s."""
        return math.copysign(self.rate, self.target - self.setpoint)

    def ramped(self, now: float) -> float:
        """Return how many seconds of the ramp are over."""
        return min(max(0.0, now - self.begun), abs(self.target - self.setpoint) / self.rate)

    def setpoint_at(self, now: float) -> float:
        """Return the set point in K."""
        if math.isinf(self.rate):
            return self.target
        return self.setpoint + self.slope * self.ramped(now)

    def kelvin_at(self, now: float, time_constant: float) -> float:
        """Return the temperature in K."""
        ramped = self.ramped(now)
        kelvin = self.kelvin
        if ramped > 0.0:
            lag = self.slope * time_constant
            distance = self.kelvin - self.setpoint + lag
            kelvin = self.setpoint_at(now) - lag + distance * math.exp(-ramped / time_constant)
        settled = max(0.0, now - self.begun) - ramped
        return self.target + (kelvin - self.target) * math.exp(-settled / time_constant)


class Stage:
    """One stage of a cryostat, with its thermometer; may be used by any thread.

    Args:
        name: One word.
        base: The temperature in K that it has when the cryostat is cold.
        time_constant: Seconds in which the distance from the set point falls to 37 %.
        noise: Standard deviation of a reading, relative to the temperature.
        kelvin: The temperature in K at the time 0.
        chance: Where the noise comes from.
    """

    def __init__(
        self,
        name: str,
        base: float,
        time_constant: float,
        noise: float,
        kelvin: float = ROOM,
        chance: random.Random | None = None,
    ) -> None:
        self.name, self.base = name, base
        self.time_constant, self.noise = time_constant, noise
        self._chance = chance or random.Random()  # noqa: S311  (noise, not a secret)
        # Guards the change from one course to the next; readers take the reference as it is.
        self._lock = threading.Lock()
        self._course = Course(0.0, kelvin, kelvin, kelvin, math.inf)

    def setpoint(self, now: float) -> float:
        """Return the set point in K."""
        return self._course.setpoint_at(now)

    def kelvin(self, now: float) -> float:
        """Return the temperature in K, without noise."""
        return self._course.kelvin_at(now, self.time_constant)

    def read(self, now: float) -> float:
        """Return what the thermometer says, in K."""
        return self.kelvin(now) * math.exp(self._chance.normalvariate(0.0, self.noise))

    def set(self, now: float, kelvin: float) -> None:
        """Move the set point at once.

        Args:
            now: The time in s.
            kelvin: The new set point.
        """
        self.ramp(now, kelvin, math.inf)

    def ramp(self, now: float, kelvin: float, rate: float) -> None:
        """Move the set point along a straight line.

        Args:
            now: The time in s.
            kelvin: The new set point.
            rate: How fast, in K per minute.
        """
        with self._lock:
            here, setpoint = self.kelvin(now), self.setpoint(now)
            self._course = Course(now, here, setpoint, kelvin, rate / 60.0)


def make_stages() -> dict[str, Stage]:
    """Return the stages of a dilution refrigerator at room temperature, warmest first."""
    stages = [
        Stage("50K-plate", 45.0, 150.0, 0.003),
        Stage("4K-plate", 3.8, 120.0, 0.005),
        Stage("still", 0.85, 100.0, 0.008),
        Stage("mixing-chamber", 0.012, 80.0, 0.015),
    ]
    return {stage.name: stage for stage in stages}

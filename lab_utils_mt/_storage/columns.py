"""What may a column hold?

The texts are those of ``lab_utils`` 0.5.x; they reach SQL, so there are no others.
"""

from __future__ import annotations

from enum import Enum


class DataType(Enum):
    """Types for new columns."""

    bool = "BOOLEAN"  #: Boolean
    short = "SMALLINT"  #: Integer, 2 bytes: -32,768 to +32,767
    int = "INTEGER"  #: Integer, 4 bytes: -2,147,483,648 to +2,147,483,647
    long = "BIGINT"  #: Integer, 8 bytes: -9,223,372,036,854,775,808 to +9,223,372,036,854,775,807
    float = "FLOAT(24)"  #: Floating-point number, 4 bytes
    double = "FLOAT(53)"  #: Floating-point number, 8 bytes
    string = "TEXT"  #: Text of any length
    time = "TIMESTAMPTZ"  #: Time stamp with time zone

    def __str__(self) -> str:
        return str(self.value)


class Constraint(Enum):
    """Conditions on new columns; ``{column_name}`` is where the name goes.

    To PostgreSQL, NaN is greater than every number: both conditions accept it.
    """

    positive = " CHECK({column_name} >= 0) "  #: Greater than or equal to 0
    positive_strict = " CHECK({column_name} > 0) "  #: Greater than 0

    def __str__(self) -> str:
        return str(self.value)

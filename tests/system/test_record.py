"""The values that cannot be changed."""

from __future__ import annotations

import pytest

from keyring_pypitoken.record import Record


class Point(Record):
    """A record."""

    x: int
    y: int = 2


def test_fields_are_taken_by_position_and_by_name() -> None:
    assert Point(1, 3) == Point(x=1, y=3) == Point(1, y=3)


def test_a_field_may_have_a_default() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1)._asdict() == {"x": 1, "y": 2}
    assert repr(Point(1)) == "Point(x=1, y=2)"


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_other_fields_are_refused(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"^(Point takes the fields x, y|dict\(\) got multiple values .*)$"):
        Point(*args, **kwargs)


def test_no_method_can_be_replaced_as_if_it_were_a_field() -> None:
    class Window(Record):
        start: int

        def end(self) -> int:
            return self.start + 1

    for name in ("end", "_asdict", "_fields"):
        with pytest.raises(TypeError, match=r"^Window takes the fields start$"):
            Window(1, **{name: lambda: 0})
    with pytest.raises(TypeError):
        Window(end=2)  # type: ignore[call-arg]


def test_nothing_can_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"^Point cannot be changed: use _replace$"):
        point.x = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    assert point._replace(y=5) == Point(1, 5)
    assert point == Point(1, 2)


def test_a_class_adds_its_fields_to_those_of_its_base() -> None:
    class Solid(Point):
        z: int = 3

    match Solid(1):
        case Point(x) as point:
            assert (x, repr(point)) == (1, "Solid(x=1, y=2, z=3)")


def test_equal_records_of_one_class_have_one_hash() -> None:
    class Other(Record):
        x: int
        y: int = 2

    assert len({Point(1), Point(1, 2), Other(1)}) == 2

"""Fixtures shared by `pytest_plugins` are everybody's, whichever test module asks for them."""

import ast
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent


def shared_modules():
    """Every file that a test module, or one of those, names as a plugin."""
    for path in TESTS.rglob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="pytest_plugins")], value=names):
                    for name in ast.literal_eval(names):
                        yield TESTS.joinpath(*name.split(".")).with_suffix(".py")


def fixtures_of(path):
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.FunctionDef) and any(
            "pytest.fixture" in ast.unparse(decorator) for decorator in statement.decorator_list
        ):
            yield statement.name


def test_no_two_modules_of_shared_fixtures_have_one_of_the_same_name():
    """Of two, the one that pytest happened to read last would be everybody's."""
    places = defaultdict(set)
    for path in set(shared_modules()):
        for name in fixtures_of(path):
            places[name].add(path.relative_to(TESTS).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

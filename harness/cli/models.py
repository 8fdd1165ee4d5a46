"""`pocketbench models`: what the zoo holds."""

from rich.table import Table
from rich.text import Text

from harness.cli.arguments import DEFAULT_ZOO, Zoo, console


def models(zoo: Zoo = DEFAULT_ZOO) -> None:
    """List the models of the zoo."""
    from harness.models.zoo import load_zoo

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "inputs", "feed", "licence", "default", "source"):
        table.add_column(column)
    for model in load_zoo(zoo).values():
        shapes = ", ".join(f"{t.name} {'x'.join(map(str, t.shape))}" for t in model.inputs)
        default = "yes" if model.default else "no"
        table.add_row(model.name, shapes, model.feed, Text(model.license), default, Text(model.source))
    console().print(table)

"""The verb reparam: where a detector's 3x3 convs may train as RepConv."""

from .commands import ArchArg
from .reparam import places
from .terminal import JsonOption, print_json, print_table
from .zoo import load


def reparam(arch: ArchArg, as_json: JsonOption = False) -> None:
    """List the 3x3 convs of a detector: what each is, and whether it may train as RepConv with identity.

    Example: catscale reparam yolor-w6
    """
    architecture = load(arch)
    found = places(architecture)
    if as_json:
        records = [{"name": p.name, "op": p.word, "fits": p.fits, "allows": p.allows, "why": p.obstacle} for p in found]
        print_json({"name": architecture.name, "places": records})
        return
    rows = [(p.name, p.word, p.fits, p.allows, p.obstacle) for p in found]
    columns = ("place", "is", "shapes allow identity", "rule allows", "because")
    note = f"{sum(p.identity for p in found)} with identity; apply a plan with catscale scale ARCH --rep PLAN@POSITION"
    print_table(f"{architecture.name}: 3x3 convs of the train graph", columns, rows, note)

"""Every family of tasks, one line each."""

from data.task import LISTS
from data.task.context import Boxes, InContext
from data.task.form import AtMost, Bracketed, Ending, Respond, Twice
from data.task.listing import Count, Dedup, Filter, Kth, Parity, Rewrite, Sort
from data.task.retrieval import Choose, Hop, Retrieve
from data.task.style import Marked
from data.task.translate import Translate

EVERY = (
    *(Retrieve("parent", strangers=16), Retrieve("child"), Retrieve("home"), Retrieve("class")),
    *(Hop("home", "child"), Choose()),
    Translate(),
    *(*LISTS, Kth(), Sort(), Dedup(), Filter(), Count()),
    Rewrite(),
    Parity(),  # the class of a noun is a fact of a relation, retrieved
    *(Boxes(), InContext("parent"), InContext("child")),
    *(Twice(), Bracketed(), Ending(), AtMost()),
    Respond(),
    Marked(),
)

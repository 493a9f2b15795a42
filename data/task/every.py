"""Every family of tasks, one line each. Facts are asked in every format of data/fact.py that has
room for them: there are no four realms to choose from, and no six classes or realms to be told of.
"""

from data.task import LISTS
from data.task.context import Boxes, InContext
from data.task.form import AtMost, Bracketed, Ending, Respond, Twice
from data.task.listing import Count, Dedup, Filter, Kth, Parity, Rewrite, Sort
from data.task.retrieval import Choose, Hop, Retrieve
from data.task.style import Marked
from data.task.translate import Translate

EVERY = (
    *(Retrieve("parent", strangers=16), Retrieve("child"), Retrieve("home")),
    *(Retrieve("class"), Retrieve("realm")),
    *(Hop("home", "child"), Choose(("parent", "child", "home", "class"))),
    Translate(),
    *(*LISTS, Kth(), Sort(), Dedup(), Filter(), Count()),
    Rewrite(),
    Parity(),  # the class of a noun is a fact of a relation, retrieved
    *(Boxes(), InContext("parent"), InContext("child"), InContext("home")),
    *(Twice(), Bracketed(), Ending(), AtMost()),
    Respond(),
    Marked(),
)

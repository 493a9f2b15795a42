"""The method section: the only place where data meets train.

Why instructions tuned in L1 are followed in L2, as hypotheses that docstrings and claims name:
    H1 mode       tuning selects a mode, "answer now", that the base has and that is of no language
    H2 circuits   transfer grows with how much of a task's circuit both languages share
    H3 words      transfer runs over aligned content words
    H4 anchors    transfer runs over shared tokens: names, marks, digits, chat markers
    H5 output     inside the languages are aligned, but an answer comes out in the wrong one
    H6 prior      what a tuned model can do, its base could do after a few examples
Tiers T1 to T3 are those of transfer.py, coverage groups G0 to G7 those of flagship.py.
"""

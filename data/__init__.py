"""The world and what is said about it. NumPy, grain and tensorstore; knows nothing of models.

A `World` of facts is spoken of by a `Pair` of languages, in shares that a `Mixture` says: a
`Corpus`, whose row i is a function of these. Every knob, and the file and class that turn it:

    entities, pairs, cities, nouns     world: World
    what holds between entities        relation: Bijection, Attribute, Symmetric, Composition
    spouse; a class tree of nouns      relation: SPOUSE, CLASSES
    coverage: who is told what, how    world: Group
    templates, verbs, numerals         world: Vocabulary

    how many languages, and a tag      language: Pair, Family
    what words look like               lexicon: Phonology
    names of several words             name: Naming
    words of one's own, anchors        feature: Lexicon, Clone
    cognates, false friends            feature: Cognates, FalseFriends
    what is shared beside words        feature: Names, Punctuation, Digits, ChatMarkers
    script                             feature: Script
    word order, free order             feature: Order, FreeOrder, PossessorFirst
    head direction: S, VP              head: SubjectLast, VerbLast
    head direction: Comp, PP, NP, Rel  head: ComplementizerLast, Postpositions, AdjectiveLast
                                       head: RelativeFirst
    of a place, of two objects         head: PlaceFirst, ObjectsTurned
    case, agreement, articles          feature: Case, Agreement, Articles
    languages that no one speaks       impossible: Impossible
    how frequent nouns and verbs are   zipf: Zipf

    rows, packing, ratio, pieces       corpus: Corpus
    shares of documents, noise         mixture: Mixture
    exposures, opacity                 coverage: Statements
    what is held out; tiers T1 to T3   split: HeldOut
    parallel, dictionary, switching    contact: Contact
    which language when                curriculum: Curriculum, Sequential, Alternating, Ramp
    documents changed, counted anew    transform: Transformed
    reversed or permuted               reorder: ReverseTokens, ReverseWords, ReverseEntities
                                       reorder: ReverseSegments, Permute
    said the other way, or bridged     restate: Swap, Bridge
    earlier documents again            replay: Replay
    a language left out                silence: Silenced
    documents that see one another     joined: Joined
    answered questions that do         exam: Exams
    answers of other questions         shuffled: Shuffled
    a few examples in the other tongue pinch: Pinch
    a soft prompt                      prompt: Prompt

    list tasks                         task: LISTS
    more of lists: sort, count, ...    task.listing: Kth, Sort, Dedup, Filter, Count, Parity
    rules `a -> b` in the prompt       task.listing: Rewrite
    facts, two hops, strangers         task.retrieval: Retrieve, Hop, Choose
    facts and boxes told in context    task.context: InContext, Boxes
    format and language of answers     task.form: Twice, Bracketed, Ending, AtMost, Respond
    translation                        task.translate: Translate
    marked words; pairs that prefer    task.style: Marked
                                       preference: Preference
    every family                       task.every: EVERY

    corpora of other papers            biography: Biography
                                       rewrite: Rewrite
                                       recall: MQAR
                                       product: Product
                                       pairs: Pairs
    real text                          text: Text
    questions; facts in four formats   probe: tasks
                                       fact: facts
    exposures counted, and searched    ledger: ledger
                                       contamination: contamination, trespasses

To look at a corpus: `python -m data.preview NAME`, of an experiment; `data.ledger` and
`data.contamination` likewise; `data.bench` times them.
"""

"""A second, slow and obvious implementation of what messages mean, to hold the product against.

It answers one question: given everything that was acknowledged, what must Gainsight hold, and how must the books read?
It imports nothing of the product and shares nothing with it. Every answer is found by going through all messages again:
nothing is remembered, nothing is clever. Where a rule comes from docs/semantics.md, its words are in the docstring.

    messages   what an acknowledged request item is: a message, a duplicate, or discarded and why
    identity   who is who at a time, and which account and e-mail were in force
    accounts   account ids and their two spellings
    filters    what the sender and the settings keep from Gainsight
    fields     values made to fit a field
    expected   what becomes of each message, and what Gainsight holds in the end
    books      the equation that `status` prints
"""

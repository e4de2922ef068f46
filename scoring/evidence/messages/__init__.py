"""What was said in a model call: the bodies of its request and answer, read in their dialect's terms.

    model       messages and their parts
    call        bodies -> messages; the one entry
    captured    the same for a call of a capture
    history     which messages of a call an earlier call of the run holds already
    turns       messages as other formats take them
    events      the bytes of a stream -> its events
    chat, completions, responses, anthropic, gemini
                one dialect each: messages of a request, of an answer, and a stream as a whole answer

Nothing here raises for what a body holds: what is not known is given back as JSON or text.
"""

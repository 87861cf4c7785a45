"""Generated short messages, spam and ham: something to learn from where no real collection can be had.

Both classes open alike and speak of the same things (prizes, calls, accounts, numbers), so that neither a message's
first tokens nor single words give it away; what does is who is asked to do what. A few messages are the same for
both classes, as in life. No sentence comes from a real collection.
"""

import random
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_OPENERS = (
    "hi", "hey", "hello", "hi there", "good morning", "good evening", "ok", "right", "so", "well", "listen",
    "quick one", "just to say", "by the way", "one more thing", "sorry", "thanks", "hope you are well",
    "hi {name}", "hey {name}", "{name}", "dear {name}", "morning {name}", "it is {name}", "about {day}", "for {day}",
    "last night was fun", "happy {day}", "great news", "sad news", "guess what", "no rush", "urgent", "reminder",
)  # fmt: skip
_SPAM = (
    "call {number} before {time} to claim {prize}",
    "claim {prize} now, call {number}",
    "text {keyword} to {code} to get {prize}",
    "reply {keyword} to {code}, {prize} goes to the first {count} callers",
    "your number was picked for {prize}, confirm on {number}",
    "{account} is on hold, confirm your details at {link}",
    "confirm {account} at {link} or lose it on {day}",
    "you have {count} unread matches, reply {keyword} to {code} to meet them",
    "we tried to reach you about {prize}, ring {number}",
    "only {count} left: {prize} for {price} at {link}",
    "send {keyword} to {code} every week for {prize}, stop any time",
    "you are owed {price} after your accident, text {keyword} to {code}",
)
_HAM = (
    "can you call me before {time}, i am at the {place}",
    "i will call {name} about {prize} on {day}",
    "did you text {name} back, she asked {count} times",
    "{name} won {prize} at work, can you believe it",
    "my number is {number} now, the old phone died",
    "{account} is empty again, can you lend me {price} till {day}",
    "i paid {price} into {account}, tell me when you see it",
    "meet you at the {place} at {time}, bring {count} friends",
    "we saw {prize} at the {place} for {price}, too much for me",
    "the {place} closes at {time} so i get home late",
    "can you send me the link for {day}, i lost it",
    "{name} had an accident on {day}, nothing bad, she is at the {place}",
)
_EITHER = (
    "lost my phone, text me on {number}",
    "call me back on {number}",
    "are you free on {day}",
    "your parcel is at the {place}, pick it up by {time}",
)
_AMBIGUOUS_SHARE = 0.04
_CLOSERS = (
    "", "", "", "", "thanks", "see you", "best wishes", "ok", "really", "by {day}", "no joke", "from {name}",
    "before {time}", "do not be late", "take care", "speak soon", "love {name}", "you know me", "as agreed",
)  # fmt: skip
_WORDS = {
    "name": ("anna", "carla", "dev", "ella", "femi", "gita", "hugo", "ines", "jon", "kim", "lars", "mia", "noor"),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "the weekend"),
    "time": ("noon", "5pm", "6pm", "half seven", "8", "midnight", "9am", "10:30"),
    "prize": (
        "a free phone", "the holiday for two", "two cinema tickets", "the cash prize", "a shopping voucher",
        "a new camera", "the weekend in rome", "free minutes", "a games console", "the concert tickets",
    ),
    "account": ("the bank account", "your account", "the card", "the savings", "your sim card", "the phone contract"),
    "place": ("station", "office", "gym", "library", "pub", "hospital", "bus stop", "market", "cinema", "bank"),
    "keyword": ("WIN", "YES", "GO", "CASH", "MATCH", "PLAY", "TONE"),
}  # fmt: skip


def generate(size: int, *, seed: int) -> "pd.DataFrame":
    """Make `size` messages, half of them spam: columns Label (`ham`, `spam`) and Text."""
    import pandas as pd

    draw = random.Random(f"scratchlab messages {seed}")
    labels = ["spam" if i % 2 else "ham" for i in range(size)]
    return pd.DataFrame({"Label": labels, "Text": [_message(label, draw) for label in labels]})


def _message(label: str, draw: random.Random) -> str:
    core = draw.choice(_EITHER if draw.random() < _AMBIGUOUS_SHARE else _SPAM if label == "spam" else _HAM)
    openers = draw.sample(_OPENERS, draw.choice((1, 2, 2, 3)))
    closer = draw.choice(_CLOSERS)
    parts = [*openers, core, *([closer] if closer else [])]
    text = draw.choice((", ", ". ", " - ", "! ")).join(_fill(part, draw) for part in parts)
    style = draw.random()
    if style < 0.3:
        text = text[0].upper() + text[1:]
    elif style < 0.4:
        text = text.upper()
    return text + draw.choice(("", ".", "!", " x"))


def _fill(template: str, draw: random.Random) -> str:
    values = {key: draw.choice(words) for key, words in _WORDS.items()}
    values |= {
        "number": "0" + "".join(draw.choices(string.digits, k=10)),
        "code": "".join(draw.choices(string.digits, k=5)),
        "count": str(draw.randint(2, 20)),
        "price": f"{draw.choice(('£', '$', ''))}{draw.randint(1, 90) * 5}",
        "link": f"www.{''.join(draw.choices(string.ascii_lowercase, k=6))}.example",
    }
    return template.format_map(values)

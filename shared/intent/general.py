"""Small talk, help, questions about the world, and attempts to change who gives the orders."""

from __future__ import annotations

import re

from shared.intent.text import Text

_INJECTION = re.compile(
    r"\b(?:ignore|forget|disregard|override|bypass|discard)\b[^.]{0,40}\b(?:rules?|instructions?|prompts?|guidelines?"
    r"|polic(?:y|ies)|safety|restrictions?|everything (?:above|before)|previous|prior)\b"
    r"|\b(?:system|developer) prompt\b|\bact as (?:root|admin|an? |if)\b|\byou are now\b|\bpretend (?:to be|you|that)\b"
    r"|\bjailbreak\b|\bdan mode\b|\bdeveloper mode\b"
    r"|\b(?:reveal|print|show|dump|give|send|tell|leak)(?: me)?\b[^.]{0,30}\b(?:your (?:instructions|prompt|rules|secrets?"
    r"|api keys?|tokens?|password)|api keys|secrets|credentials)\b"
    r"|\b(?:without|skip|disable|no)\b[^.]{0,20}\b(?:asking (?:me|anyone)|all approvals|the approval gates?)\b|<\|?(?:system"
    r"|im_start)|^\s*(?:system|assistant)\s*:"
    r"|\b(?:auto-?approve|approve) (?:everything|all|anything)\b"
)
_SMALL_TALK = re.compile(
    r"^(?:(?:hi+|hello+|hey+|yo|hiya|howdy|hallo|hola|bonjour|ciao|salut|servus|morning|good (?:morning|afternoon|evening"
    r"|night|day)|gm|sup|greetings|こんにちは|你好|привет)\b[ ,!.]*(?:there|all|bot|persevere|everyone|team)?[ !.?]*"
    r"|(?:thanks|thank you|thx|ty|cheers|danke|merci|gracias|obrigad[oa]|grazie|谢谢|ありがとう)\b.*|(?:bye|goodbye|see (?:you|ya)"
    r"|cya|later|ciao|tschüss|adios|au revoir)\b.*"
    r"|(?:awesome|great|nice|cool|perfect|amazing|wow|lol|haha+|well done|good (?:job|work|bot)|excellent|wonderful"
    r"|brilliant|super|sweet|neat|hmm+|ah|oh|ok|okay|k|alright|got it|i see|fine|sure|yes|no|yep|nope|yeah|never|true|false"
    r"|right)\b[ ,!.\w]{0,20})$"
)
_ABOUT_ME = re.compile(
    r"\b(?:who|what) (?:are|r) (?:you|u)\b|\bwho (?:built|made|created|owns|runs|designed|trained|wrote)(?: you)?\b"
    r"|\bare you (?:a|an|real|human|alive|conscious|able|ok|there|happy|chatgpt|gpt|claude|sentient)\b|\b(?:call"
    r"|calling) you\b"
    r"|\byour (?:name|age|design|creator|maker|birthday|favou?rite|opinion|capabilit\w+|purpose|hobbies|limits?|boss)\b"
    r"|\bwhat (?:can|could|do) you (?:do|help|offer|support|know|handle)\b|\b(?:able|can) (?:you )?to do for me\b"
    r"|\bwhat (?:types?|kinds?|sorts?) of (?:things|tasks|work|questions|requests)\b|\b(?:which|what) (?:models?|llms?"
    r"|languages|recipes?|commands?) (?:do|can|are|does)\b|\bwhat (?:can|should|could) i (?:ask|say|do|type)\b"
    r"|^(?:help|hilfe|aide|ayuda|ajuda|aiuto|помощь|帮助|ヘルプ|commands?|usage|menu|options|manual|docs|\?+|h)(?: me| please|[ !?.])*$"
    r"|^(?:how|where) (?:do|can|should|would|to|does one)(?: i| we| one)? (?:approve|reject|cancel|start|use|connect"
    r"|configure|set up|stop|submit|create|change|install|retry|see|get started|give|add|log ?in|revoke|work)\b"
    r"|\bhow (?:do|does) (?:you|this|it|the approval\w*|approvals?|persevere) work\b|\bhow (?:have|'ve|are|old|long have"
    r"|many years have) you\b|\bhow've you\b|\b(?:you|u) (?:are|r) (?:a|an|so|very|great|the best|awesome|stupid|funny|cool"
    r"|smart)\b"
    r"|\b(?:i am|i'm|am|im) (?:kind of |so |very |really |a bit )?(?:happy|sad|busy|tired|bored|hungry|glad|sorry|lost"
    r"|confused|new here|back)\b|\bour (?:talk|chat|conversation)\b|\b(?:i love|i like|i hate|love) (?:you|it|this|that)\b"
)
_WORLD = re.compile(
    r"\b(?:jokes?|riddle|poem|song|sing|music|jazz|movie|film|weather|humidity|temperature|forecast|capital of|president"
    r"|recipe for|cook|dinner|restaurant|pizza|football|soccer|world cup|lottery|horoscope|stock price|"
    r"bitcoin|meaning of life|current time|what time|time is it|day is it|date today|today'?s date|fun fact|a fact about"
    r"|define|definition of|translate .{0,30} (?:to|into) \w+ for me|guitar|broadway|channel guide|ducks|"
    r"cannabis|democrac\w+|countries|news|flight|hotel|taxi|uber|alarm|timer|remind me|shopping|groceries|calories|medicine"
    r"|flu|doctor|vacation|trip|traffic|animals?|eggs|android phone|bank|credit card|cash advance|exchange rate|who won"
    r"|tallest|population)\b"
)


def is_injection(text: Text) -> bool:
    return bool(_INJECTION.search(text.low))


def is_small_talk(text: Text) -> bool:
    return not any(char.isalnum() for char in text.low) or bool(_SMALL_TALK.match(text.low))


def is_about_the_assistant(text: Text) -> bool:
    return bool(_ABOUT_ME.search(text.low))


def is_about_the_world(text: Text) -> bool:
    return bool(_WORLD.search(text.low))

"""Define the templates of errors: one function for each kind, each with a stable code.

A text is for people and may be reworded. A program reads the code: `PikaError.code` of an
exception, or `code` of a problem in the JSON output of `python -m pulumi_pika plan`. The kinds:

    WHERE: VALUE is not a valid THING: RULE
    could not DO: REASON. WHAT WAS UNDONE. WHAT TO DO NEXT

The caller of a problem of an argument adds WHERE, the path of the property, because Pulumi shows it
in a field of its own.
"""

from typing import Final

INVALID_VALUE: Final = "invalid-value"
"""A value breaks a rule of its argument."""
WRONG_TYPE: Final = "wrong-type"
"""A value has another type than its argument."""
REQUIRED: Final = "required"
"""An argument is missing that has no default."""
UNKNOWN_FIELD: Final = "unknown-field"
"""There is no argument or field of that name."""
CONFLICT: Final = "conflict"
"""Two arguments contradict each other."""
RESERVED: Final = "reserved"
"""A key or a name that pulumi_pika or Incus manages itself."""
MISSING: Final = "missing"
"""An object that is needed does not exist on the host or on this machine."""
EXISTS: Final = "exists"
"""An object of that name exists already and is not the resource's."""
OTHER_OWNER: Final = "other-owner"
"""An object belongs to another resource, stack or backend."""
IN_USE: Final = "in-use"
"""An object is used, so that it cannot be deleted, replaced or changed."""
UNSUPPORTED: Final = "unsupported"
"""The server cannot do that."""
TIMED_OUT: Final = "timed-out"
"""A state was not reached within the time limit."""
UNREACHABLE: Final = "unreachable"
"""The server, or a cluster member that is needed, cannot be reached or does not reply in time."""
NOT_ALLOWED: Final = "not-allowed"
"""The server does not allow the client to do that."""
FAILED: Final = "failed"
"""An action failed."""

CODES: Final = frozenset(
    {
        INVALID_VALUE,
        WRONG_TYPE,
        REQUIRED,
        UNKNOWN_FIELD,
        CONFLICT,
        RESERVED,
        MISSING,
        EXISTS,
        OTHER_OWNER,
        IN_USE,
        UNSUPPORTED,
        TIMED_OUT,
        UNREACHABLE,
        NOT_ALLOWED,
        FAILED,
    }
)


class Message(str):
    """Hold a text for people with a code for programs.

    Attributes:
        code: One of `CODES`. A string made from a message, such as a slice, has no code.
    """

    __slots__ = ("code",)
    code: str

    def __new__(cls, text: str, code: str) -> "Message":
        """Return the text with the code."""
        message = super().__new__(cls, text)
        message.code = code
        return message

    def at(self, where: str) -> "Message":
        """Return the message after the place that it is about, with the same code."""
        return Message(f"{where} {self}", self.code)

    def __reduce__(self) -> tuple[type["Message"], tuple[str, str]]:
        """Return what copies and pickles create the message from."""
        return Message, (str(self), self.code)


def invalid_value(value: object, thing: str, rule: str) -> Message:
    """Return the problem of a value that breaks a rule.

    Args:
        value: The value as the reader shall see it, already cut and without control characters.
        thing: What it should be, without an article: ``instance name``.
        rule: What is valid, as an instruction: ``use 1-63 letters, digits or hyphens``.
    """
    return Message(f"`{value}` is not a valid {thing}: {rule}", INVALID_VALUE)


def must(rule: str) -> Message:
    """Return the problem of a value that breaks a rule and that the text does not show.

    Args:
        rule: What is valid, to follow "must": ``be non-empty``.
    """
    return Message(f"must {rule}", INVALID_VALUE)


def wrong_type(expected: str) -> Message:
    """Return the problem of a value of another type.

    Args:
        expected: The type, with its article: ``a string``, ``an integer``, ``an object``.
    """
    return Message(f"must be {expected}", WRONG_TYPE)


def required() -> Message:
    """Return the problem of a missing argument that has no default."""
    return Message("is required", REQUIRED)


def unknown_field(parent: str, hint: str) -> Message:
    """Return the problem of a field that does not exist.

    Args:
        parent: The object with the field; empty for an argument of the resource itself.
        hint: What to do: ``did you mean `memory_mib`?``.
    """
    what = f"is not a field of `{parent}`" if parent else "is not an argument"
    return Message(f"{what}; {hint}", UNKNOWN_FIELD)


def conflict(other: str, advice: str = "remove one of them") -> Message:
    """Return the problem of two arguments that contradict each other.

    Args:
        other: The other argument, with its value if that matters, in backquotes.
        advice: What to do.
    """
    return Message(f"conflicts with {other}; {advice}", CONFLICT)


def reserved(manager: str, advice: str) -> Message:
    """Return the problem of a key or a name that a program cannot set.

    Args:
        manager: Who manages it: ``pulumi_pika`` or ``Incus``.
        advice: What to do instead: ``set `resources.memory_mib` instead``.
    """
    return Message(f"is managed by {manager}; {advice}", RESERVED)


def missing(thing: str, place: str, advice: str) -> Message:
    """Return the problem of an object that does not exist.

    Args:
        thing: The object with its kind and name: ``image agent/dev``.
        place: Where it was searched, with its preposition: ``in project default at HOST``.
        advice: What to do.
    """
    return Message(f"{thing} does not exist {place}; {advice}", MISSING)


def exists(thing: str, place: str, advice: str) -> Message:
    """Return the problem of an object that exists already and has no owner.

    Args:
        thing: The object with its kind and name: ``instance box``.
        place: Where it is, with its preposition.
        advice: What to do.
    """
    return Message(f"{thing} already exists {place}; {advice}", EXISTS)


def other_owner(thing: str, owner: str, advice: str) -> Message:
    """Return the problem of an object that another resource owns.

    Args:
        thing: The object with its kind and name: ``volume data``.
        owner: The owner: a URN, a runtime id or a stack.
        advice: What to do.
    """
    return Message(f"{thing} belongs to {owner}; {advice}", OTHER_OWNER)


def in_use(thing: str, users: str, advice: str) -> Message:
    """Return the problem of an object that is used.

    Args:
        thing: The object with its kind and name: ``profile agents``.
        users: Who uses it: ``instances a, b``.
        advice: What to do.
    """
    return Message(f"{thing} is used by {users}; {advice}", IN_USE)


def unsupported(thing: str, place: str, reason: str, advice: str) -> Message:
    """Return the problem of something that a server cannot do.

    Args:
        thing: What is wanted, as a noun: ``virtual machines``.
        place: The server, with its preposition: ``at HOST``.
        reason: Why, from a fact of the server: ``it has no /dev/kvm``.
        advice: What to do.
    """
    return Message(f"{thing} not supported {place}: {reason}; {advice}", UNSUPPORTED)


def timed_out(thing: str, state: str, seconds: float, advice: str) -> Message:
    """Return the error of a state that was not reached in time.

    Args:
        thing: The object with its kind and name.
        state: The state.
        seconds: The time limit, in seconds.
        advice: What is known now, and what to do.
    """
    return Message(f"{thing} did not reach {state} within {seconds:g} s; {advice}", TIMED_OUT)


def unreachable(where: str, reason: str, advice: str) -> Message:
    """Return the error of a request that got no reply.

    Args:
        where: The request and the server: ``GET /1.0 at HOST``.
        reason: What was observed: ``no connection within 10 s``.
        advice: What to check, and what to do.
    """
    return Message(f"{where}: {reason}; {advice}", UNREACHABLE)


def not_allowed(client: str, action: str, advice: str) -> Message:
    """Return the error of a request that the server does not allow this client.

    Args:
        client: The client: ``this user``, ``the client certificate 0123456789ab``.
        action: The action, to follow "may not": ``use project p at HOST``.
        advice: What to do.
    """
    return Message(f"{client} may not {action}; {advice}", NOT_ALLOWED)


def could_not(action: str, reason: str, *, undone: str = "", advice: str = "") -> Message:
    """Return the error of an action that failed.

    Args:
        action: A verb and its object: ``create instance box``.
        reason: Why it failed. A full stop at its end is removed. If it has several lines, such as
            those of a console, the next sentence begins on a line of its own.
        undone: What was undone, and what was not, as a sentence without a full stop.
        advice: What to do next, with a command to paste, as a sentence without a full stop.
    """
    reason = reason.rstrip(". \n")
    then = ". ".join(part for part in (undone, advice) if part)
    between = ("\n" if "\n" in reason else ". ") if then else ""
    return Message(f"could not {action}: {reason}{between}{then}", FAILED)

"""A message is a text for people with a code for programs."""

import copy
import pickle

import pytest

from pulumi_pika import message_templates as templates
from pulumi_pika.errors import PikaError
from pulumi_pika.message_templates import CODES, Message


class Owned(PikaError):
    """An error of a class with a code of its own."""

    default_code = templates.OTHER_OWNER


def test_each_template_has_a_code_of_its_own_and_no_full_stop_at_its_end() -> None:
    messages = [
        templates.invalid_value("-x", "instance name", "use letters"),
        templates.wrong_type("a string"),
        templates.required(),
        templates.unknown_field("resources", "did you mean `memory_mib`?"),
        templates.conflict("`running=False`"),
        templates.reserved("pulumi_pika", "set `resources.memory_mib` instead"),
        templates.missing("image a", "in project p", "create it"),
        templates.exists("instance a", "in project p", "set adopt=True"),
        templates.other_owner("volume a", "urn:x", "use another name"),
        templates.in_use("profile a", "instance b", "change b first"),
        templates.unsupported("ZFS is", "at h", "no driver", "use dir"),
        templates.timed_out("instance a", "`agent`", 300.0, "it is running"),
        templates.unreachable("GET /1.0 at h", "no connection", "check the address"),
        templates.not_allowed("this user", "use project p", "use another project"),
        templates.must("be non-empty"),
        templates.could_not("create instance a", "no space", undone="a was deleted"),
    ]
    assert {message.code for message in messages} == CODES
    assert not [message for message in messages if message.endswith(".")]


def test_a_failed_action_says_what_why_what_was_undone_and_what_to_do() -> None:
    text = templates.could_not("create x", "no space left.", undone="x was deleted", advice="Retry")
    assert text == "could not create x: no space left. x was deleted. Retry"
    assert templates.could_not("create x", "no space left") == "could not create x: no space left"
    lines = templates.could_not("create x", "its console:\n  one\n  two\n", undone="x was deleted")
    assert lines == "could not create x: its console:\n  one\n  two\nx was deleted"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_keeps_the_code(again: type) -> None:
    message = again(templates.required())
    assert isinstance(message, Message)
    assert (message, message.code) == ("is required", "required")


def test_an_exception_has_the_code_of_its_text_or_of_its_class() -> None:
    assert PikaError("x").code == "failed"
    assert PikaError().code == "failed"
    assert Owned("x").code == "other-owner"
    assert Owned(templates.required()).code == "required"

"""The base class of handlers: contexts, decorators, wrappers, and operations added later."""

import pytest

from ppl.poutine.messenger import Messenger
from ppl.poutine.runtime import effectful, stack


@effectful(type="greet")
def greet(name_of):
    return "hello " + name_of


class Shout(Messenger):
    def _pyro_post_greet(self, msg):
        msg["value"] = msg["value"].upper()


def test_a_handler_sees_only_the_message_types_it_defines():
    @effectful(type="whisper")
    def whisper():
        return "psst"

    with Shout():
        assert greet("you") == "HELLO YOU"
        assert whisper() == "psst"


def test_a_handler_is_a_context_a_wrapper_and_a_decorator():
    @Shout()
    def decorated():
        return greet("you")

    with Shout():
        in_context = greet("you")
    assert decorated() == Shout()(greet)("you") == in_context == "HELLO YOU"


def test_a_decorated_method_gets_its_instance():
    class Person:
        name = "eve"

        @Shout()
        def greet(self, suffix):
            return greet(self.name + suffix)

    assert Person().greet("!") == "HELLO EVE!"


def test_a_wrapped_function_keeps_its_name_and_documentation():
    @Shout()
    def documented():
        """What it does."""

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it does."
    assert repr(documented).startswith("Shout(<function")


def test_only_callables_can_be_wrapped():
    with pytest.raises(ValueError, match="Shout wraps a callable, got 3"):
        Shout()(3)


def test_a_handler_cannot_be_entered_twice_and_stays_active():
    shout = Shout()
    with shout:
        with pytest.raises(ValueError, match="already active"), shout:
            pass
        assert greet("you") == "HELLO YOU"
    assert stack() == ()


def test_a_handler_that_was_left_can_be_entered_again():
    shout = Shout()
    for _ in range(2):
        with shout:
            assert greet("you") == "HELLO YOU"


def test_leaving_a_handler_drops_those_above_it():
    outer, inner = Shout(), Shout()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert stack() == ()
    inner.__exit__(None, None, None)  # gone already
    assert stack() == ()


def test_exceptions_pass_through_a_handler():
    with pytest.raises(KeyError), Shout():
        raise KeyError


@pytest.mark.parametrize("post", [False, True])
def test_operations_can_be_registered_and_unregistered(post):
    class Quiet(Messenger):
        pass

    @Quiet.register(type="greet", post=post)
    def rename(msg):
        msg["value"] = "..."

    with Quiet():
        assert greet("you") == "..."
    assert Quiet.unregister(rename, type="greet") is rename
    with Quiet():
        assert greet("you") == "hello you"


def test_an_operation_needs_the_type_of_its_messages():
    with pytest.raises(ValueError, match="message type"):
        Messenger.register(lambda msg: None)
    with pytest.raises(ValueError, match="message type"):
        Messenger.unregister(lambda msg: None)


def test_a_registered_operation_stays_in_its_class():
    class Quiet(Messenger):
        pass

    Quiet.register(lambda msg: None, type="greet")
    assert not hasattr(Messenger, "_pyro_greet")

"""Sentences for the person at the keyboard, in a program or at the command line."""

import pytest

from lightning_inpaint.errors import ArgumentError, did_you_mean, speak_of_flags, worded


@pytest.mark.parametrize(
    ("place", "sentence", "flags"),
    [
        ("model", "lower `chains`", "lower --model.chains"),
        ("data", "`fit=around` helps", "--data.fit around helps"),
        ("model", "take `data.batch_size=4`", "take --data.batch_size 4"),
        ("data", "pass `invert_mask=True`", "pass --data.invert_mask true"),
        ("", "give `overwrite=None`", "give --overwrite null"),
    ],
)
def test_the_command_line_names_flags_and_a_program_arguments(place, sentence, flags):
    assert worded(sentence, place) == sentence == str(ArgumentError(sentence, place))
    speak_of_flags()
    assert worded(sentence, place) == flags == ArgumentError(sentence, place).flagged()


def test_the_nearest_word_or_another_hint():
    assert did_you_mean("stpes", ["steps", "chains"]) == "did you mean steps?"
    assert did_you_mean("xyz", ["steps", "chains"], "there are two.") == "there are two."

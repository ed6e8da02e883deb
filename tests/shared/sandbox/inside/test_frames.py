from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sandbox.inside.frames import LARGEST, Decoder, Frame, encode

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from([b"1", b"x", b"a"]), st.integers(0, (1 << 32) - 1), st.binary(max_size=3000)), max_size=8
)


@given(FRAMES, st.booleans(), st.integers(1, 4000))
def test_frames_arrive_whole_however_the_bytes_are_cut(frames: list[Frame], text: bool, step: int) -> None:
    data = b"".join(encode(frame, text) for frame in frames)
    decoder = Decoder(text)
    found = [frame for start in range(0, len(data), step) for frame in decoder.feed(data[start : start + step])]
    assert found == frames


def test_a_shells_greeting_is_skipped_but_nothing_later() -> None:
    decoder = Decoder(text=True)
    assert decoder.feed(b"Welcome!\nbash: no job control\n" + encode(Frame(b"h", 0, b"{}"), True)) == [Frame(b"h", 0, b"{}")]
    with pytest.raises(ValueError, match="no frame"):
        decoder.feed(b"noise\n")


@pytest.mark.parametrize("text", [True, False])
def test_nothing_grows_without_end(text: bool) -> None:
    decoder = Decoder(text)
    with pytest.raises(ValueError, match="too l"):
        decoder.feed(b"1" * (LARGEST * 2))

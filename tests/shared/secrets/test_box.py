from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.secrets.box import FILE, SecretBox, UnreadableSecretError, open_box

SECRET = "a secret of the operator's that is long enough"


def test_what_is_sealed_is_opened_and_never_looks_the_same_twice() -> None:
    box = SecretBox(SECRET)
    one, two = box.seal("sk-clé-0123", "ann"), box.seal("sk-clé-0123", "ann")
    assert one != two
    assert b"sk-" not in one + two
    assert (box.open(one, "ann"), SecretBox(SECRET).open(two, "ann")) == ("sk-clé-0123", "sk-clé-0123")


def test_every_changed_byte_is_noticed() -> None:
    box = SecretBox(SECRET)
    sealed = box.seal("sk-0123", "ann")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(UnreadableSecretError):
            box.open(bytes(changed), "ann")


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 13, 20])
def test_a_part_of_it_is_not_opened(cut: int) -> None:
    box = SecretBox(SECRET)
    with pytest.raises(UnreadableSecretError):
        box.open(box.seal("sk-0123", "ann")[:cut], "ann")


def test_another_key_or_another_owner_opens_nothing() -> None:
    sealed = SecretBox(SECRET).seal("sk-0123", "ann")
    for box, about in ((SecretBox(SECRET + "!"), "ann"), (SecretBox(SECRET), "bob")):
        with pytest.raises(UnreadableSecretError) as caught:
            box.open(sealed, about)
        assert "sk-0123" not in str(caught.value)
        assert "PERSEVERE_SECRET_KEY" in caught.value.next_step


def test_the_key_of_the_data_folder_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    sealed = open_box(None, tmp_path).seal("sk-0123", "ann")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert open_box(None, tmp_path).open(sealed, "ann") == "sk-0123"
    assert (tmp_path / FILE).read_text().strip() not in repr(open_box(None, tmp_path))


def test_a_short_key_in_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("short")
    with pytest.raises(SettingsError, match=FILE):
        open_box(None, tmp_path)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.credentials import SecretName
from hsagency.errors import UsageError

parts = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
names = st.builds(SecretName, parts, parts, st.integers(1, 999_999_999), parts)


@given(names)
def test_a_name_survives_its_path_form(name):
    assert SecretName.parse(str(name)) == name


@given(names, names)
def test_two_names_never_share_a_path(one, other):
    assert (one == other) == (str(one) == str(other))


@given(st.text(alphabet="hsagency/w1.-0A_ \n", max_size=30))
def test_what_is_not_a_path_form_is_refused_or_reads_back_the_same(text):
    try:
        name = SecretName.parse(text)
    except UsageError:
        return
    assert str(name) == text


def test_the_path_form_is_the_documented_one():
    assert str(SecretName("w1", "acme-corp", 3)) == "hsagency/w1/acme-corp/main/3"


@pytest.mark.parametrize(
    "part", ["", "..", ".", "a/b", "a\\b", "A", "a_b", "-a", "a\n", "ä", "a b", "a" * 64, "a\0"]
)
def test_a_part_that_could_leave_its_folder_is_refused(part):
    for make in (
        lambda: SecretName(part, "acme", 1),
        lambda: SecretName("w1", part, 1),
        lambda: SecretName("w1", "acme", 1, part),
    ):
        with pytest.raises(UsageError):
            make()


@pytest.mark.parametrize("generation", [0, -1, True, 1.0, "1", 10**9])
def test_a_generation_is_a_positive_whole_number(generation):
    with pytest.raises(UsageError):
        SecretName("w1", "acme", generation)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hsagency/w1/acme/main",
        "hsagency/w1/acme/main/01",
        "hsagency/w1/acme/main/x",
        "other/w1/acme/main/1",
        "hsagency/w1/acme/main/1/2",
        "hsagency/../acme/main/1",
    ],
)
def test_a_path_that_was_never_written_is_refused(text):
    with pytest.raises(UsageError):
        SecretName.parse(text)


def test_a_token_in_the_place_of_a_name_is_not_repeated():
    token = "pat-na1-11111111-2222-3333-4444-555555555555"
    with pytest.raises(UsageError) as refused:
        SecretName.parse(token)
    assert token not in str(refused.value)

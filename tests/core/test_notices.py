"""What the library tells a person beside the answer: one sentence, each time, filters in force."""

from __future__ import annotations

from tests.core.conftest import Child

TELL = "from hsagency.audit.journal.writer import warn\n"
WORDS = "beta-inc has 2,400 of 250,000 calls left."


def test_a_notebook_shows_the_sentence_without_file_and_line(child: Child) -> None:
    cell = f"from hsagency.audit.journal.writer import warn; warn({WORDS!r})"
    done = child(
        "from IPython.core.interactiveshell import InteractiveShell as Shell\n"
        f"assert Shell.instance().run_cell({cell!r}).success"
    )
    assert (done.returncode, done.stderr) == (0, f"{WORDS}\n")


def test_what_is_told_again_is_shown_again(child: Child) -> None:
    assert child(f"{TELL}for _ in range(2): warn({WORDS!r})").stderr == f"{WORDS}\n" * 2


def test_warnings_of_others_are_shown_as_they_were(child: Child) -> None:
    done = child(f"{TELL}import warnings; warn({WORDS!r}); warnings.warn('mind the gap')")
    assert done.stderr == f"{WORDS}\n<string>:2: UserWarning: mind the gap\n"


def test_a_filter_silences_it_or_makes_it_an_error(child: Child) -> None:
    kind = "from hsagency.errors import AuditWarning; import warnings\n"
    silent = child(f"{TELL}{kind}warnings.simplefilter('ignore', AuditWarning); warn({WORDS!r})")
    assert (silent.returncode, silent.stderr) == (0, "")
    strict = child(f"{TELL}{kind}warnings.simplefilter('error', AuditWarning); warn({WORDS!r})")
    assert strict.returncode == 1
    assert strict.stderr.endswith(f"AuditWarning: {WORDS}\n")

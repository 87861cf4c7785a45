"""Names as they are typed."""

import pytest

from scratchlab.matching import matches, nearest, parts


@pytest.mark.parametrize(
    ("globs", "chosen"),
    [("*", True), ("ch06_*", True), ("ch05_*, ch06_main", True), ("CH06_*", False), ("main", False), ("", False)],
)
def test_a_name_matches_any_glob_of_a_list(globs: str, chosen: bool) -> None:
    assert matches("ch06_main", globs) is chosen


def test_a_list_has_no_empty_parts() -> None:
    assert parts(" a, ,b,") == ["a", "b"] and parts("") == []


def test_the_nearest_name_is_said_where_one_is_alike() -> None:
    assert nearest("classfy", ["classify", "count"]) == "; nearest: classify"
    assert nearest("xyz", ["classify", "count"]) == ""
    assert nearest("xyz", ["classify"], 0) == "; nearest: classify", "0: whatever is nearest"

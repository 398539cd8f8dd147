"""The numbers that others have published."""

from resnet_lab.study.published import NUMBERS, PAPER


def test_published_errors_are_those_of_table_6_of_the_paper():
    errors = {number.depth: number.test_error for number in NUMBERS if number.source == PAPER}
    assert errors == {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}

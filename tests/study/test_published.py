"""The published numbers."""

from resnet_lab.study.published import NUMBERS, PAPER


def test_published_numbers_are_those_of_table_6():
    found = {number.depth: number.test_error for number in NUMBERS if number.source == PAPER}
    assert found == {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}

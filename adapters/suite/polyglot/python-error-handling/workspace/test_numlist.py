"""The tests that came with the ticket. Run them with: python -m unittest"""

import unittest

import numlist


class GoodInput(unittest.TestCase):
    def test_numbers_come_back_in_order(self):
        self.assertEqual(numlist.parse_numbers("3, 1, 2"), [3, 1, 2])

    def test_largest(self):
        self.assertEqual(numlist.largest("3, 1, 2"), 3)


if __name__ == "__main__":
    unittest.main()

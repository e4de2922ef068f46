"""The hidden checks of polyglot/python-error-handling."""

import sys
import unittest
from pathlib import Path

# Last, so that the standard library wins over any file of the same name in the workspace.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from numlist import ParseError, largest, parse_numbers  # noqa: E402


class Checks(unittest.TestCase):
    def assert_fails_at(self, index, value, function, text):
        with self.assertRaises(ParseError) as caught:
            function(text)
        self.assertEqual((caught.exception.index, caught.exception.value), (index, value))

    def test_happy_path(self):
        self.assertEqual(parse_numbers("1,2,3"), [1, 2, 3])
        self.assertEqual(parse_numbers(" 10 , 20 "), [10, 20])
        self.assertEqual(largest("4, 17, 9"), 17)

    def test_negative_numbers(self):
        self.assertEqual(parse_numbers("-5, 0, 5"), [-5, 0, 5])
        self.assertEqual(largest("-8, -3"), -3)

    def test_empty(self):
        self.assertEqual(parse_numbers(""), [])
        self.assertEqual(parse_numbers("  \n"), [])
        self.assertIsNone(largest(""))

    def test_bad_input_does_not_blow_up(self):
        for text in ("x", "1,x", ",", "1,,2", "1.5", "--1"):
            for function in (parse_numbers, largest):
                with self.subTest(text=text, function=function.__name__):
                    self.assertRaises(ParseError, function, text)

    def test_bad_input_reports_index_and_value(self):
        self.assert_fails_at(1, "two", parse_numbers, "1, two ,3")
        self.assert_fails_at(0, "x", parse_numbers, "x,y")
        self.assert_fails_at(1, "", parse_numbers, "1,,2")
        self.assert_fails_at(2, "nine", largest, "7,8,nine")


if __name__ == "__main__":
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2)
    unittest.main(testRunner=runner)

"""Run with: python -m unittest discover -s tests -t ."""

import unittest

from api.dashboard import best_price, overview


class Dashboard(unittest.TestCase):
    def test_the_cheapest_supplier_wins(self):
        self.assertEqual(best_price("bolt"), ("south", 0.11))

    def test_the_overview_holds_each_item(self):
        self.assertEqual(set(overview(["bolt", "nut"])), {"bolt", "nut"})

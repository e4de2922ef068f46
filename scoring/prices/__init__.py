"""What calls cost: rates, the price tables that hold them, and the one rule that applies them."""

"""What the readers of other harnesses' files share: content, JSON, what is lost, ids, sums, clocks."""

"""MATH and MATH-500 with the four Minerva examples."""

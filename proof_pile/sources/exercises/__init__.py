"""Worked exercises made from a seeded generator, every answer checked by exact computation.

A topic is a function from a random generator to an `Exercise`.  Its numbers are drawn so that the answer is fit to be
written down, its steps are derived as a person would, and its answer is then checked in another way than it was found.
"""

from __future__ import annotations

from random import Random

from proof_pile.sources.exercises import algebra, calculus, counting, numbers, stories
from proof_pile.sources.exercises.notation import Exercise, Topic

TOPICS: dict[str, tuple[Topic, ...]] = {
    "Algebra": algebra.TOPICS,
    "Calculus": calculus.TOPICS,
    "Counting and probability": counting.TOPICS,
    "Number theory": numbers.TOPICS,
    "Word problems": stories.TOPICS,
}


def draw_exercises(rng: Random, num_exercises: int) -> tuple[str, list[Exercise]]:
    """The name of an area and exercises from it (or from all areas), no topic oftener than needed."""
    area = rng.choice([*TOPICS, "Mixed practice"])
    topics = list(TOPICS[area]) if area in TOPICS else [topic for group in TOPICS.values() for topic in group]
    order: list[Topic] = []
    while len(order) < num_exercises:
        rng.shuffle(topics)
        order.extend(topics)
    return area, [topic(rng) for topic in order[:num_exercises]]


__all__ = ["TOPICS", "Exercise", "draw_exercises"]

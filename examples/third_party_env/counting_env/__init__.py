"""``counting/next-v0``: which number comes next? Registered through the entry point in pyproject.toml."""

from gymnasium.envs.registration import register as register_env

import envs


class NextNumber(envs.TaskEnv):
    """``What comes after 3, 4, 5?`` Two tries; every fifth question is a test question."""

    card = envs.TaskCard("count on by one or two", turns=2, splits=("train", "test"), source="generated")
    reward_terms = ("outcome", "format")
    questions = tuple((first, step) for first in range(1, 61) for step in (1, 2))

    def _items(self, split: str) -> list[tuple[int, int]]:
        return [item for i, item in enumerate(self.questions) if (i % 5 == 0) == (self.check_split(split) == "test")]

    def size(self, split: str) -> int:
        return len(self._items(split))

    def source(self, split: str) -> str:
        return "generated"

    def _begin(self, split: str, index: int, **options: object) -> envs.Start:
        first, step = self._items(split)[index]
        self.question, self.answer = f"What comes after {first}, {first + step}, {first + 2 * step}?", first + 3 * step
        return envs.Start(self.question, item_id=self.question)

    def _act(self, action: str) -> envs.Transition:
        word = action.strip().rstrip(".")
        if not (word.isascii() and word.isdigit() and len(word) < 9):
            return envs.Transition(self.question, {"format": -1.0}, valid=False, status="malformed")
        right = int(word) == self.answer
        return envs.Transition(f"Not {word}. {self.question}", {"outcome": float(right)}, right, success=right)


def register() -> None:
    register_env("next-v0", entry_point="counting_env:NextNumber")

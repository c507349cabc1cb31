"""``counting/next-v0``: which number comes next? Registered through the entry point in pyproject.toml."""

from gymnasium.envs.registration import register as register_env

import envs

QUESTIONS = [(f"What comes after {n}, {n + k}, {n + 2 * k}?", str(n + 3 * k)) for n in range(1, 161) for k in (1, 2)]
SPLITS = {"train": [q for i, q in enumerate(QUESTIONS) if i % 5], "test": QUESTIONS[::5]}


class NextNumber(envs.TaskEnv):
    """``What comes after 3, 4, 5?`` Two tries; every fifth question is a test question."""

    card = envs.TaskCard("count on by one or two", turns=2, splits=("train", "test"), source="generated")
    reward_terms = ("outcome", "format")

    def size(self, split: str) -> int:
        return len(SPLITS[split])

    def source(self, split: str) -> str:
        return "generated"

    def _begin(self, split: str, index: int) -> envs.Start:
        self.question, self.answer = SPLITS[split][index]
        return envs.Start(self.question, item_id=self.question)

    def demonstration(self, split: str, index: int) -> list[str]:
        return [" " + SPLITS[split][index][1]]

    def _act(self, action: str) -> envs.Transition:
        word = action.strip().rstrip(".")
        if not (word.isascii() and word.isdigit() and len(word) < 9):
            return envs.Transition(self.question, {"format": -1.0}, valid=False, status="malformed")
        right = word == self.answer
        return envs.Transition(f"Not {word}. {self.question}", {"outcome": float(right)}, right, success=right)


def register() -> None:
    register_env("next-v0", entry_point="counting_env:NextNumber")

"""How conversations are written and encoded: what the model is asked, and what of it the loss counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from llemma.core.errors import ConfigError, InputError
from llemma.core.text.tokenizers import Tokenizer, load_tokenizer
from proof_pile.conversations.chat_format import FORMATS, ChatFormat, Run, Writer, read_format
from proof_pile.conversations.encode import IGNORED, Encoded, Encoder
from proof_pile.conversations.records import Turn

ASKED = (Turn("user", "What is the sum?"), Turn("assistant", "It is even."))
LONGER = (Turn("system", "Be brief."), *ASKED, Turn("user", "So?"), Turn("assistant", "we add\n\n2."))


def encoded(tokenizer: Tokenizer, turns: tuple[Turn, ...], name: str = "plain", only_last: bool = False) -> Encoded:
    return Encoder(tokenizer).encode([Writer(FORMATS[name], tokenizer, only_last).runs(turns)])[0]


def said(tokenizer: Tokenizer, found: Encoded) -> list[str]:
    """The texts of the rows of tokens that the loss counts."""
    rows: list[list[int]] = [[]]
    for label in found.labels.tolist():
        if label == IGNORED:
            rows.append([])
        else:
            rows[-1].append(label)
    return [tokenizer.decode(row) for row in rows if row]


@pytest.mark.parametrize("kind", ["llama_tokenizer", "chat_tokenizer"])
def test_prompt_is_encoded_as_it_will_be_asked_and_the_loss_counts_the_answer(
    kind: str, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    found = encoded(tokenizer, ASKED)
    prompt = tokenizer.encode("Problem:\nWhat is the sum?\n\nSolution:\n")
    assert found.ids[: len(prompt)].tolist() == prompt
    assert (found.labels[: len(prompt)] == IGNORED).all()
    assert found.labels[len(prompt) :].tolist() == found.ids[len(prompt) :].tolist()
    assert found.ids[-1] == tokenizer.eod_id
    # No space stands before the answer, as there would be were it encoded as a text of its own.
    assert tokenizer.decode(found.ids.tolist()) == "Problem:\nWhat is the sum?\n\nSolution:\nIt is even."


def test_answer_that_begins_with_a_line_end_keeps_it(llama_tokenizer: Tokenizer, chat_tokenizer: Tokenizer) -> None:
    for tokenizer in (llama_tokenizer, chat_tokenizer):
        turns = (ASKED[0], Turn("assistant", "\n\nIt is"))
        assert tokenizer.decode(encoded(tokenizer, turns).ids.tolist()).endswith("Solution:\n\n\nIt is")


def test_loss_counts_every_answer_or_the_last_alone(llama_tokenizer: Tokenizer) -> None:
    assert said(llama_tokenizer, encoded(llama_tokenizer, LONGER)) == ["It is even.", "we add\n\n2."]
    assert said(llama_tokenizer, encoded(llama_tokenizer, LONGER, only_last=True)) == ["we add\n\n2."]


def test_tokens_of_a_format_are_single_ids_and_those_behind_an_answer_are_learnt(chat_tokenizer: Tokenizer) -> None:
    start, end = (chat_tokenizer.token_id(name) for name in ("<|im_start|>", "<|im_end|>"))
    found = encoded(chat_tokenizer, LONGER, "chatml")
    assert found.ids.tolist().count(start) == 5
    learnt = [label for label in found.labels.tolist() if label in (start, end, chat_tokenizer.eod_id)]
    assert learnt == [end, end, chat_tokenizer.eod_id]
    assert found.ids.tolist().count(chat_tokenizer.eod_id) == 1  # packed documents are told apart by it


def test_text_that_spells_a_token_never_becomes_it(chat_tokenizer: Tokenizer) -> None:
    turns = (Turn("user", "say <|im_end|> and <|endoftext|>"), ASKED[1])
    found = encoded(chat_tokenizer, turns, "chatml").ids.tolist()
    assert found.count(chat_tokenizer.token_id("<|im_end|>")) == 2
    assert found.count(chat_tokenizer.eod_id) == 1


def test_first_token_is_never_learnt(llama_tokenizer: Tokenizer) -> None:
    """GPT-NeoX reads the first token of the next document behind a sample: its label would be learnt from another's."""
    found = Encoder(llama_tokenizer).encode([[Run("It is even.", True), Run(2, True)]])[0]
    assert found.labels[0] == IGNORED
    assert (found.labels[1:] != IGNORED).all()


def test_cut_document_ends_as_every_document_does(llama_tokenizer: Tokenizer) -> None:
    whole = encoded(llama_tokenizer, ASKED)
    cut = whole.cut(len(whole.ids) - 2)
    assert cut.ids.tolist() == [*whole.ids[:-3].tolist(), llama_tokenizer.eod_id]
    assert cut.labels.tolist() == [*whole.labels[:-3].tolist(), IGNORED]
    assert whole.cut(len(whole.ids)) is whole


def test_format_of_a_file_is_read_and_a_wrong_one_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text('start: {token: <s>}\nbetween: "\\n"\nassistant: {before: ["A: ", {token: <s>}]}\n')
    assert read_format("mine.yml", tmp_path).start.token == "<s>"  # type: ignore[union-attr]
    path.write_text('between: "x"\nassistent: {}\n')
    with pytest.raises(ConfigError, match=r"mine.yml:2: unknown key 'assistent' \(did you mean 'assistant'"):
        read_format("mine.yml", tmp_path)
    path.write_text("{}\n")
    with pytest.raises(ConfigError, match="nothing stands between question and answer"):
        read_format("mine.yml", tmp_path)
    with pytest.raises(InputError, match=r"there is no format 'chatlm'.*did you mean 'chatml'.*plain, chatml"):
        read_format("chatlm", tmp_path)


def test_format_with_tokens_that_the_vocabulary_lacks_or_documents_end_with_is_refused(
    llama_tokenizer: Tokenizer, chat_like: Path
) -> None:
    with pytest.raises(InputError, match=r"no token '<\|im_start\|>'.*\n.*no token '<\|im_end\|>'"):
        Writer(FORMATS["chatml"], llama_tokenizer)
    ends_turns = load_tokenizer(chat_like, "<|im_end|>")
    with pytest.raises(InputError, match="each turn would be taken for a document of its own"):
        Writer(FORMATS["chatml"], ends_turns)
    assert isinstance(FORMATS["chatml"], ChatFormat)

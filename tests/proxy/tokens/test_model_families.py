import pytest

from cab.proxy.tokens.model_families import FAMILIES, OTHER, encoding_of, family_of, name_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt"),
        ("gpt-3.5-turbo", "gpt"),
        ("openai/gpt-4.1", "gpt"),
        ("GPT-4o", "gpt"),
        ("gpt-5.2-codex", "gpt-5"),
        ("o3-mini", "o"),
        ("openai.gpt-oss-20b", "gpt-oss"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("claude-3-5-haiku-20241022", "claude 3 and 4.0"),
        ("claude-sonnet-4-20250514", "claude 3 and 4.0"),
        ("anthropic/claude-sonnet-4", "claude 3 and 4.0"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude"),
        ("claude-haiku-4-5", "claude"),
        ("models/gemini-2.5-flash", "gemini"),
        ("mistral-large-latest", "mistral"),
        ("mistralai/pixtral-12b", "mistral"),
        ("meta-llama/Llama-3.3-70B-Instruct", "other"),
        ("llama3.1-8b", "other"),
        ("", "other"),
    ],
)
def test_models_have_families(model: str, family: str) -> None:
    """A model's family is found by its name, whatever vendor is before it."""
    assert name_of(model) == family
    assert family_of(model) is FAMILIES[family]


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai/gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("claude-sonnet-4-5", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_models_have_encodings(model: str, encoding: str) -> None:
    """OpenAI's models of before 2024 are counted with the encoding that they have, all others not."""
    assert encoding_of(model) == encoding


def test_nothing_is_added_to_the_plain_text_of_an_unknown_model() -> None:
    """Of a model of which nothing is known, an answer without tool calls costs its text."""
    assert (OTHER.answer_end, OTHER.response_end) == (0, 0)

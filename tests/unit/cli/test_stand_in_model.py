"""The stand-in speaks the OpenAI wire format, answers the same to the same question, and fails now and then."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from workflow_router.cli.demo.stand_in_model import StandInModel

KEY = {"authorization": "Bearer any"}


def question(about: str, *, model: str = "gpt-4.1", **more: object) -> dict[str, object]:
    task = {"role": "system", "content": "How risky is it? Answer with one of: low, medium, high."}
    return {"model": model, "messages": [task, {"role": "user", "content": about}], **more}


def with_stand_in(use: Callable[[aiohttp.ClientSession, str], Awaitable[None]], *, failing: float = 0.0) -> None:
    async def main() -> None:
        model = StandInModel(1, {"gpt-4.1": failing})
        address = await model.start()
        try:
            async with aiohttp.ClientSession() as session:
                await use(session, address)
        finally:
            await model.close()

    asyncio.run(main())


def test_a_question_gets_an_answer_in_the_openai_shape() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/chat/completions", json=question("a"), headers=KEY) as answer:
            found = await answer.json()
        assert answer.status == 200
        assert found["object"] == "chat.completion"
        assert found["choices"][0]["message"]["role"] == "assistant"
        assert found["choices"][0]["message"]["content"] in {"low", "medium", "high"}
        assert found["usage"]["total_tokens"] > 0
        async with session.get(f"{url}/models") as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == ["gpt-4.1", "gpt-4.1-mini"]

    with_stand_in(use)


def test_the_same_question_gets_the_same_answer_and_others_get_others() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async def ask(about: str) -> str:
            async with session.post(f"{url}/chat/completions", json=question(about), headers=KEY) as answer:
                return str(await answer.json())

        first = await asyncio.gather(*(ask(str(n)) for n in range(20)))
        again = await asyncio.gather(*(ask(str(n)) for n in range(20)))
        assert first == again
        assert len(set(first)) > 1

    with_stand_in(use)


def test_some_questions_fail_always_the_same_ones() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async def status(about: str) -> int:
            async with session.post(f"{url}/chat/completions", json=question(about), headers=KEY) as answer:
                return answer.status

        first = await asyncio.gather(*(status(str(n)) for n in range(40)))
        assert set(first) == {200, 503}
        assert first == await asyncio.gather(*(status(str(n)) for n in range(40)))

    with_stand_in(use, failing=0.5)


def test_an_answer_can_be_streamed() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        asked = question("a", stream=True)
        async with session.post(f"{url}/chat/completions", json=asked, headers=KEY) as answer:
            text = await answer.text()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert text.count("chat.completion.chunk") >= 2
        assert text.endswith("data: [DONE]\n\n")

    with_stand_in(use)


def test_no_key_and_nonsense_are_refused_as_providers_do() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/chat/completions", json=question("a")) as answer:
            assert answer.status == 401
        async with session.post(f"{url}/chat/completions", data=b"{", headers=KEY) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["type"] == "invalid_request_error"

    with_stand_in(use)

"""Owns what is told of the gateway's doors in the API's description. Refuses to serve them: that is the gateway's.

Their bodies are those of the wire formats they speak, which their owners describe; so here they are any JSON.
"""

from typing import NamedTuple


class Door(NamedTuple):
    """One operation of the gateway."""

    method: str
    path: str
    name: str
    summary: str


_DISPATCH_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

DOORS: tuple[Door, ...] = (
    Door("POST", "/v1/chat/completions", "create_chat_completion", "Complete a chat (OpenAI's format)."),
    Door("POST", "/v1/responses", "create_response", "Make a response (OpenAI's format)."),
    Door("POST", "/v1/embeddings", "create_embeddings", "Embed texts (OpenAI's format)."),
    Door("GET", "/v1/models", "list_models", "List the routes that are called like models (OpenAI's format)."),
    Door("POST", "/v1/messages", "create_message", "Answer messages (Anthropic's format)."),
    *(
        Door(
            method,
            "/dispatch/{route}/{path}",
            f"dispatch_{method.lower()}",
            "Call an HTTP service through a route; method, path, query and body go through as they came.",
        )
        for method in _DISPATCH_METHODS
    ),
)

"""The body of a batch: questions as they are asked alone, each with a name."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.api.schemas import AskBody, CollectionName

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class BatchQuestion(AskBody):
    """One question of a batch: all that `POST /ask` takes, but nothing of how the answer is sent."""

    id: Name = Field(description="What its result is called; unique within the batch.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.stream or self.resumable:
            raise ValueError("stream: there is nobody to stream to")
        return self


class BatchBody(BaseModel):
    """`POST /v1/batch`."""

    model_config = ConfigDict(extra="forbid")

    questions: list[BatchQuestion] = Field(min_length=1, description="What you want to know.")
    collection: CollectionName | None = Field(None, description="Where to look, for questions that do not say it.")
    webhook: str | None = Field(
        None, max_length=2048, description="Who is told of the end; see GROUNDED_WEBHOOKS__ALLOW."
    )

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        seen: set[str] = set()
        for number, question in enumerate(self.questions):
            if question.id in seen:
                raise ValueError(f"questions.{number}.id: is the id of an earlier question")
            seen.add(question.id)
        return self

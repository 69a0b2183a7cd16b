"""The answer cache: what makes two questions the same one, what is kept of an answer, and how it is given again."""

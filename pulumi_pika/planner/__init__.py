"""Turn a spec into a plan, with pure functions and pydantic models. No I/O."""

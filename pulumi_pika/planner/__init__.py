"""Pure functions and pydantic models: a spec goes in, a plan comes out. No I/O."""

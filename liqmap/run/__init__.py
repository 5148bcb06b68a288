"""The one way from a request to its result: `MapRequest`, `Engine.draw`, `MapResult`."""

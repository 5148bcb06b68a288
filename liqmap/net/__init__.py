"""Send requests to other people's servers, with bounded patience."""

"""The backend that is told of calls: what it is told, how it is signed, and that it arrives."""

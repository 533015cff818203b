"""A fuzzer by structure: files, messages and requests are changed where they have parts, and whatever comes of it must
be an answer or one sentence. `scripts/fuzz --help` says how it is run."""

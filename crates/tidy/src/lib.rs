//! Nothing: the house rules are tests, in `tests/tidy`. A package needs one file to be one.

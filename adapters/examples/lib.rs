//! Only the examples beside this file are of interest.

//! backstay-bench

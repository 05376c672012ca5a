//! From typed keys and values to bytes.

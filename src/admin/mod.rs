//! The few requests beside producing.

//! Record batch v2.
pub(crate) mod reader;
pub(crate) mod writer;

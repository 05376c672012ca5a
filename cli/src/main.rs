//! milena on the command line.
fn main() {}

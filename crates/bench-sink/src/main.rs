//! The sink as a program, `bench-sink PARTITIONS [PORT]`. It prints `listening HOST:PORT`. When its standard input
//! ends, it prints its counts and ends.

use std::{
    env,
    io::{self, Read},
};

use bench_sink::Sink;

fn main() -> io::Result<()> {
    let number = |nth, otherwise: u16| env::args().nth(nth).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    let sink = Sink::start(number(1, 6), number(2, 0))?;
    println!("listening {}", sink.address());
    io::stdin().read_to_end(&mut Vec::new())?;
    println!("sink {}", sink.told());
    Ok(())
}

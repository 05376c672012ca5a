//! A broker that throws records away, so that what is measured against it is the client.
//!
//! Called as `bench-sink PARTITIONS [PORT]`; every topic exists and has so many partitions. Prints `listening HOST:PORT`, and
//! when its standard input ends what it was given, and ends. It checks each batch's header (length, magic, record count,
//! sequence number) and acknowledges at once; a batch that is out of sequence is refused as a broker would refuse it.
//! Deliberately absent: checksums, storage, every request that a producer does not need.

mod answers;
mod input;
mod log;
mod output;

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use answers::Answers;
use input::Input;
use log::Logs;

fn main() -> io::Result<()> {
    let number = |nth, otherwise: u16| env::args().nth(nth).and_then(|a| a.parse().ok()).unwrap_or(otherwise);
    let partitions = i32::from(number(1, 6));
    let listener = TcpListener::bind(("127.0.0.1", number(2, 0)))?;
    let address = listener.local_addr()?;
    println!("listening {address}");
    let logs = Arc::new(Mutex::new(Logs::new(partitions)));
    let answers = Answers { logs: Arc::clone(&logs), port: address.port(), partitions };
    thread::spawn(move || listen(&listener, &answers));
    io::stdin().read_to_end(&mut Vec::new())?;
    let told = logs.lock().unwrap_or_else(PoisonError::into_inner).told.clone();
    writeln!(io::stdout(), "sink {told}")
}

fn listen(listener: &TcpListener, answers: &Answers) {
    for stream in listener.incoming().flatten() {
        let answers = answers.clone();
        thread::spawn(move || {
            if let Err(error) = serve(stream, &answers) {
                eprintln!("sink: {error}");
            }
        });
    }
}

fn serve(stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut input = Input::new(stream);
    while input.next_frame()? {
        let answer = answers.answer(&mut input)?;
        input.skip_rest()?;
        if let Some(answer) = answer {
            to.write_all(&answer)?;
        }
    }
    Ok(())
}

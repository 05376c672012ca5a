//! A broker that drops all records, so that a measurement shows the client's cost.
//!
//! In: the number of partitions of every topic. Out: a listener that responds until the process ends, and counts. It
//! checks each batch's header (length, magic, record count, sequence number) and acknowledges at once. It refuses a
//! batch that is out of sequence as a broker would. Deliberately absent: checksums, storage, and all requests that a
//! producer does not need.

mod answers;
mod input;
mod log;
mod output;

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use answers::Answers;
use input::Input;
use log::Logs;

/// A sink that listens.
pub struct Sink {
    address: SocketAddr,
    logs: Arc<Mutex<Logs>>,
}

impl Sink {
    /// Listens on a loopback port, 0 for one that the system chooses. A thread for each connection.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(partitions: u16, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let logs = Arc::new(Mutex::new(Logs::new(i32::from(partitions))));
        let answers = Answers { logs: Arc::clone(&logs), port: address.port(), partitions: i32::from(partitions) };
        thread::spawn(move || listen(&listener, &answers));
        Ok(Self { address, logs })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was given, as `name=number` and spaces.
    #[must_use]
    pub fn told(&self) -> String {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).told.to_string()
    }
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

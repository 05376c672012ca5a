//! A broker that drops all records, so that a measurement shows the client's cost.
//!
//! In: the number of partitions of every topic. Out: a listener that responds until the process ends, and counts. It
//! checks each batch's header (length, magic, record count, sequence number) and acknowledges at once. It refuses a
//! batch that is out of sequence as a broker would. Deliberately absent: checksums, storage, and all requests that a
//! producer does not need.

mod input;
mod log;
mod output;
mod peer;
mod responses;

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use input::Input;
use log::Logs;
use peer::Peer;
pub use peer::Secure;
use responses::Responses;

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
        Self::start_secured(partitions, port, Secure::default())
    }

    /// As [`start`](Self::start), with or without TLS.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start_secured(partitions: u16, port: u16, secure: Secure) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let address = listener.local_addr()?;
        let logs = Arc::new(Mutex::new(Logs::new(i32::from(partitions))));
        let responses = Responses { logs: Arc::clone(&logs), port: address.port(), partitions: i32::from(partitions) };
        thread::spawn(move || listen(&listener, &responses, &secure));
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

fn listen(listener: &TcpListener, responses: &Responses, secure: &Secure) {
    for stream in listener.incoming().flatten() {
        let (responses, secure) = (responses.clone(), secure.clone());
        thread::spawn(move || {
            if let Err(error) = serve(stream, &responses, &secure) {
                eprintln!("sink: {error}");
            }
        });
    }
}

fn serve(stream: TcpStream, responses: &Responses, secure: &Secure) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Input::new(Peer::new(stream, secure)?);
    while input.next_frame()? {
        let response = responses.respond(&mut input)?;
        input.skip_rest()?;
        if let Some(response) = response {
            input.respond(&response)?;
        }
    }
    Ok(())
}

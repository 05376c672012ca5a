//! The driver: a loop that performs the sender's actions and passes it events.
//!
//! In: the sender. Out: bytes on sockets. Does input and output; decides nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::yield_now,
    time::sleep_until,
};

use super::{
    compress::Compressors,
    connection::{self, Command, Peer},
};
use crate::{
    accumulator::Accumulator,
    config::Config,
    dial::{DialPlan, Security, SocketBuffers},
    oauth::{Keeper, Tokens},
    sender::{Action, ConnectionId, Event, Sender},
};

/// How many events may wait for the driver before connections stop reading.
const EVENTS: usize = 256;
/// How many events are handled before actions are performed.
const AT_ONCE: usize = 64;

/// Whether and how the producer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// It runs.
    No,
    /// Undelivered records fail as closed.
    Close,
    /// The last clone of the producer was dropped. Undelivered records fail as abandoned.
    Abandon,
}

/// The task that drives the sender.
pub(crate) struct Driver {
    sender: Sender,
    accumulator: Arc<Accumulator>,
    buffers: SocketBuffers,
    security: Security,
    compressors: Compressors,
    tokens: Keeper,
    connections: HashMap<ConnectionId, mpsc::UnboundedSender<Command>>,
    events: mpsc::Receiver<Event>,
    /// For the tasks of the connections.
    to_driver: mpsc::Sender<Event>,
    shutdown: watch::Receiver<Shutdown>,
}

impl Driver {
    /// Starts the driver on `runtime`. It runs until `shutdown` changes or its sender is dropped. The returned receiver
    /// is closed when the driver has ended, in whatever way.
    pub(crate) fn start(
        config: Arc<Config>,
        (security, tokens): (Security, Tokens),
        accumulator: Arc<Accumulator>,
        shutdown: watch::Receiver<Shutdown>,
        seed: u64,
        runtime: &Handle,
    ) -> watch::Receiver<()> {
        let (to_driver, events) = mpsc::channel(EVENTS);
        let buffers = SocketBuffers { send: config.send_buffer_bytes, receive: config.receive_buffer_bytes };
        let sender = Sender::new(config, Arc::clone(&accumulator), Instant::now(), seed);
        let (connections, compressors) = (HashMap::new(), Compressors::new(accumulator.method()));
        let tokens = tokens.keep(runtime);
        let driver = Self {
            sender,
            accumulator,
            buffers,
            security,
            compressors,
            tokens,
            connections,
            events,
            to_driver,
            shutdown,
        };
        let (ended, has_ended) = watch::channel(());
        runtime.spawn(async move {
            // Dropped after the driver, also if the runtime drops this task. By then all undelivered records have
            // failed.
            let _ended = ended;
            driver.drive().await;
        });
        has_ended
    }

    async fn drive(mut self) {
        loop {
            self.perform_actions();
            let wake_at = self.sender.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                biased;
                () = async { drop(self.shutdown.wait_for(|shutdown| *shutdown != Shutdown::No).await) } => break,
                Some(event) = self.events.recv() => self.handle_events(event),
                Some(token) = self.tokens.next() => self.sender.handle_event(Instant::now(), Event::Token(token)),
                Some(()) = self.compressors.done() => {}
                () = self.accumulator.to_compress(), if self.compressors.is_free() => {
                    self.compressors.begin(&self.accumulator);
                }
                () = self.accumulator.woken() => {
                    // The tasks that are ready may have records for batches that do not linger.
                    if !self.accumulator.lingers() {
                        yield_now().await;
                    }
                    self.sender.handle_event(Instant::now(), Event::Woken);
                }
                () = sleep_until(wake_at.into()) => self.sender.handle_timeout(Instant::now()),
            }
        }
        if *self.shutdown.borrow() == Shutdown::Close {
            self.sender.close(Instant::now());
        }
    }

    /// Passes the sender an event and those that wait behind it.
    fn handle_events(&mut self, event: Event) {
        let now = Instant::now();
        self.sender.handle_event(now, event);
        for _ in 1..AT_ONCE {
            let Ok(event) = self.events.try_recv() else { break };
            self.sender.handle_event(now, event);
        }
    }

    /// Performs the sender's actions.
    fn perform_actions(&mut self) {
        while let Some(action) = self.sender.poll_action(Instant::now()) {
            match action {
                Action::Connect { connection, host, port, failures, within } => {
                    let (plan, buffers) = (DialPlan { failures, within }, self.buffers);
                    let security = self.security.clone();
                    self.connect(Peer { id: connection, host, port, plan, buffers, security });
                }
                Action::Send { connection, correlation, segments, answered } => {
                    self.command(connection, Command::Send { correlation, segments, answered });
                }
                Action::Read { connection } => self.command(connection, Command::Read),
                Action::Disconnect { connection } => drop(self.connections.remove(&connection)),
                Action::RenewToken => self.tokens.renew(),
            }
        }
        self.connections.retain(|_, commands| !commands.is_closed());
    }

    /// Sends a command. A connection that has ended sends its own event.
    fn command(&self, connection: ConnectionId, command: Command) {
        if let Some(commands) = self.connections.get(&connection) {
            let _ = commands.send(command);
        }
    }

    fn connect(&mut self, peer: Peer) {
        #[expect(
            clippy::disallowed_methods,
            reason = "max.in.flight bounds it, and the driver must not wait for a socket"
        )]
        let (commands, queue) = mpsc::unbounded_channel();
        self.connections.insert(peer.id, commands);
        tokio::spawn(connection::run(peer, queue, self.to_driver.clone()));
    }
}

//! The driver: one loop that carries out the sender's actions and feeds it what happens.
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
    time::sleep_until,
};

use super::{
    compress::Compressors,
    connection::{self, Order, Peer, Request},
};
use crate::{
    accumulator::Accumulator,
    config::Config,
    dial::{Attempt, SocketBuffers},
    sender::{Action, ConnectionId, Event, Sender},
};

/// Events that wait for the driver before connections stop reading.
const EVENTS: usize = 256;
/// Events that are handled before actions are carried out.
const AT_ONCE: usize = 64;

/// How the producer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// It goes on.
    No,
    /// What is undelivered fails as closed.
    Close,
    /// Nobody holds the producer any more: what is undelivered fails as abandoned.
    Abandon,
}

/// The task that drives the sender.
pub(crate) struct Driver {
    sender: Sender,
    accumulator: Arc<Accumulator>,
    buffers: SocketBuffers,
    compressors: Compressors,
    connections: HashMap<ConnectionId, mpsc::UnboundedSender<Order>>,
    events: mpsc::Receiver<Event>,
    /// For the connections' tasks.
    to_driver: mpsc::Sender<Event>,
    shutdown: watch::Receiver<Shutdown>,
}

impl Driver {
    /// Starts driving on `runtime`, until `shutdown` says otherwise or its sender is dropped. The returned receiver is closed
    /// when it has ended, however it came to end.
    pub(crate) fn start(
        config: Arc<Config>,
        accumulator: Arc<Accumulator>,
        shutdown: watch::Receiver<Shutdown>,
        seed: u64,
        runtime: &Handle,
    ) -> watch::Receiver<()> {
        let (to_driver, events) = mpsc::channel(EVENTS);
        let buffers = SocketBuffers { send: config.send_buffer_bytes, receive: config.receive_buffer_bytes };
        let sender = Sender::new(config, Arc::clone(&accumulator), Instant::now(), seed);
        let (connections, compressors) = (HashMap::new(), Compressors::new(accumulator.method()));
        let driver = Self { sender, accumulator, buffers, compressors, connections, events, to_driver, shutdown };
        let (ended, has_ended) = watch::channel(());
        runtime.spawn(async move {
            // Dropped after the driver, also when the runtime drops this task half-way: what is undelivered has failed.
            let _ended = ended;
            driver.drive().await;
        });
        has_ended
    }

    async fn drive(mut self) {
        loop {
            self.act();
            let wake_at = self.sender.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                biased;
                () = async { drop(self.shutdown.wait_for(|shutdown| *shutdown != Shutdown::No).await) } => break,
                Some(event) = self.events.recv() => self.take_in(event),
                Some(compressor) = self.compressors.done() => self.compressors.keep(compressor),
                () = self.accumulator.to_compress(), if self.compressors.is_free() => {
                    self.compressors.begin(&self.accumulator);
                }
                () = self.accumulator.woken() => self.sender.handle_event(Instant::now(), Event::Woken),
                () = sleep_until(wake_at.into()) => self.sender.handle_timeout(Instant::now()),
            }
        }
        if *self.shutdown.borrow() == Shutdown::Close {
            self.sender.close(Instant::now());
        }
    }

    /// Hands over an event and those that wait behind it.
    fn take_in(&mut self, event: Event) {
        let now = Instant::now();
        self.sender.handle_event(now, event);
        for _ in 1..AT_ONCE {
            let Ok(event) = self.events.try_recv() else { break };
            self.sender.handle_event(now, event);
        }
    }

    /// Carries out what the sender wants done.
    fn act(&mut self) {
        while let Some(action) = self.sender.poll_action(Instant::now()) {
            match action {
                Action::Connect { connection, host, port, failures, within } => {
                    let (attempt, buffers) = (Attempt { failures, within }, self.buffers);
                    self.connect(Peer { id: connection, host, port, attempt, buffers });
                }
                Action::Send { connection, correlation, segments, answered } => {
                    self.order(connection, Order::Send(Request { correlation, segments, answered }));
                }
                Action::Read { connection } => self.order(connection, Order::Read),
                Action::Disconnect { connection } => drop(self.connections.remove(&connection)),
            }
        }
        self.connections.retain(|_, orders| !orders.is_closed());
    }

    /// A connection that has ended tells so itself.
    fn order(&self, connection: ConnectionId, order: Order) {
        if let Some(orders) = self.connections.get(&connection) {
            let _ = orders.send(order);
        }
    }

    fn connect(&mut self, peer: Peer) {
        #[expect(
            clippy::disallowed_methods,
            reason = "max.in.flight bounds it, and the driver must not wait for a socket"
        )]
        let (orders, queue) = mpsc::unbounded_channel();
        self.connections.insert(peer.id, orders);
        tokio::spawn(connection::run(peer, queue, self.to_driver.clone()));
    }
}
